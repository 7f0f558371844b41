"""How many cores inference takes where a window and a world run beside it."""

import os

import torch


def leave_room_for_the_window() -> None:
    """Give this process's tensor library half the cores, unless OMP_NUM_THREADS says otherwise.

    On two cores with software GL a fan is on the screen sooner with one thread (208 to 134 ms, median): the second one would
    only wait for its turn, spinning.
    """
    if not os.environ.get("OMP_NUM_THREADS"):
        torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))
