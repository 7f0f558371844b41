"""The number of inference threads on a machine that also runs a window and a world."""

import os


def leave_room_for_the_window() -> None:
    """Limit PyTorch to half the cores in this process, unless OMP_NUM_THREADS is set; a thin cockpit has none and computes nothing.

    With two cores and software GL, a fan is on the screen sooner with one thread (134 instead of 208 ms, median): a second one
    would compete with the window for a core, by busy waiting.
    """
    if os.environ.get("OMP_NUM_THREADS"):
        return
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))
