"""summary.json and summary.txt of the parts so far, and the timings in the format of `frs bench policy`. Standard library only."""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.gpu.runner import Outcome


def write_summary(out: Path, outcomes: Sequence[Outcome], *, device: str, is_small: bool) -> str:
    """Write the files into a folder; return the readable one."""
    by_name = {o.name: o for o in outcomes}
    machine = dict(by_name["machine"].results) if "machine" in by_name else {}
    timings = _timings(by_name)
    head = {"device": device, "small": is_small, "written": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())}
    data = {**head, "machine": machine, "parts": [asdict(o) for o in outcomes]}
    _write(out / "summary.json", json.dumps(data, indent=1) + "\n")
    if timings is not None:
        _write(out / "policy_gpu.json", json.dumps(timings, indent=2) + "\n")
    lines = [_title(head, machine), ""]
    width = max(len(o.name) for o in outcomes)
    for o in outcomes:
        lines.append(
            f"{o.name:{width}}  {o.status:12} {o.seconds:6.1f} s  {' | '.join(x for x in (o.reason, o.headline) if x)}"
        )
    if timings is not None:
        lines += ["", *_table(timings)]
    text = "\n".join(lines) + "\n"
    _write(out / "summary.txt", text)
    return text


def _title(head: dict[str, Any], machine: dict[str, Any]) -> str:
    words = ["the part 'machine' was not run"]
    if machine:
        cards, torch = machine.get("cards") or [], machine.get("torch") or {}
        words = ["no NVIDIA card"]
        if cards:
            words = [cards[0]["name"], f"driver {cards[0]['driver_version']}", cards[0]["memory.total"]]
        words += [
            f"Python {machine.get('python')}",
            f"torch {torch.get('version', 'missing')}",
            f"CUDA {torch.get('cuda')}",
        ]
    small = ", tiny sizes: these times say nothing" if head["small"] else ""
    return f"{', '.join(words)}; device {head['device']}{small}; {head['written']} UTC"


def _timings(by_name: dict[str, Outcome]) -> dict[str, Any] | None:
    """Return the product's timings with LeRobot's; None if there are none."""
    if "policy" not in by_name or not by_name["policy"].results.get("report"):
        return None
    report = dict(by_name["policy"].results["report"])
    peer = by_name["lerobot"].results if "lerobot" in by_name else {}
    if peer.get("timings"):
        report |= {"lerobot": peer["lerobot"], "timings": [*report["timings"], *peer["timings"]]}
    return report


def _table(report: dict[str, Any]) -> list[str]:
    """Return the timings as lines: a row per batch, horizon and way."""
    machine, timings = report["machine"], report["timings"]
    lines = [
        f"{machine['name']}, {report['dtype'].removeprefix('torch.')}, measured {machine['tflops']:.2f} TFLOP/s and "
        f"{machine['gb_per_s']:.0f} GB/s; {report['layers']} layers, {report['cameras']} cameras, {report['words']} words"
    ]
    encode = next((t for t in timings if t["what"] == "encode"), None)
    if encode is None:
        return lines
    lines.append(f"encode {encode['ms']:.2f} ms (limit {encode['limit_ms']:.2f}, n = {encode['repeats']})")
    lines.append(
        f"{'rows':>5} {'batch':>5} {'way':>8} {'step ms':>9} {'limit':>8} {'fan ms':>9} {'limit':>8} {'encode + fan':>12} {'n':>3}"
    )
    steps = {(t["horizon"], t["batch"], t["mode"]): t for t in timings if t["what"] == "one step"}
    fans = [t for t in timings if t["what"] == "fan"]
    for fan in sorted(fans, key=lambda t: (t["horizon"], t["batch"], t["mode"])):
        step = steps[fan["horizon"], fan["batch"], fan["mode"]]
        lines.append(
            f"{fan['horizon']:5} {fan['batch']:5} {fan['mode']:>8} {step['ms']:9.3f} {step['limit_ms']:8.3f} {fan['ms']:9.2f} "
            f"{fan['limit_ms']:8.2f} {encode['ms'] + fan['ms']:12.2f} {fan['repeats']:3}"
        )
    lines += [
        f"LeRobot {report['lerobot']}: {t['what']}, {t['batch']} x {t['horizon']} rows, {t['ms']:.2f} ms, n = {t['repeats']}"
        for t in timings
        if t["mode"] == "lerobot"
    ]
    return lines


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text)
    os.replace(partial, path)
