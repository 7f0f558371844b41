"""The memory that pi0.5 takes: weights, one encoding, fans, recordings."""

import resource
from typing import Any

from benchmarks.gpu.fans import make_fan
from benchmarks.gpu.sizes import CAMERAS, HORIZON, WORDS, size_for
from benchmarks.gpu.task import Task


def run(task: Task) -> None:
    """Note allocated and peak bytes after each step; on a CPU the process's peak alone."""
    import torch

    from frs_core.policies.pi05.model import Pi05Model
    from frs_core.policies.pi05.weights import RandomSource

    device, size = task.torch_device(), size_for(is_small=task.is_small)

    def note(what: str) -> dict[str, Any]:
        row: dict[str, Any] = {"what": what}
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            free, total = torch.cuda.mem_get_info(device)
            row |= {
                "allocated_gb": torch.cuda.memory_allocated(device) / 1e9,
                "peak_gb": torch.cuda.max_memory_allocated(device) / 1e9,
                "reserved_gb": torch.cuda.memory_reserved(device) / 1e9,
                "used_on_card_gb": (total - free) / 1e9,
            }
            torch.cuda.reset_peak_memory_stats(device)
        else:
            row["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        print(row, flush=True)
        task.add("steps", row)
        return row

    with torch.inference_mode():
        model = Pi05Model(RandomSource(size, device=device, dtype=task.dtype()), size)
        rows = [note("weights")]
        side = size.vision.image
        pictures = torch.rand(CAMERAS, 3, side, side, device=device) * 2.0 - 1.0
        prompt = torch.randint(0, size.vocabulary, (WORDS,), device=device)
        cache, _ = model.encode(pictures, prompt)
        rows.append(note("encode"))
        kept = []
        for batch, horizon in ((8, HORIZON), (13, HORIZON), (13, 50)):
            for is_recorded in (False, True):
                fan = make_fan(model, cache, batch=batch, horizon=horizon, is_recorded=is_recorded)
                fan()
                kept.append(fan)  # recordings stay, as they do in the product
                rows.append(note(f"fan {batch} x {horizon} {'recorded' if is_recorded else 'eager'}"))
    most = max(rows, key=lambda row: row["peak_gb"])
    task.say(f"weights {rows[0]['peak_gb']:.2f} GB, at most {most['peak_gb']:.2f} GB ({most['what']})")
