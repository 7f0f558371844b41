"""How fast episodes are written, opened, scrubbed and listed.

One episode: 300 steps of three 224 x 224 cameras (every step), chunks of 8 rows, twelve directions and the unsteered
candidate, textured images with sensor noise. Run it on one core:

    taskset -c 0 python -m benchmarks.bench_episodes

`real time` is the share of one core that recording takes at 15 Hz; below 1 it keeps up.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from frs_core.episodes import EpisodeStore, JournalRecorder
from frs_core.episodes.layout import SUFFIX, new_name
from frs_core.events import Outcome
from tests.fakes.episodes import random_chunks, random_meta

ROWS, HZ = 8, 15.0


def main() -> None:
    """Run and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--episodes", type=int, default=1000, help="how many to list")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    root = Path(tempfile.mkdtemp(prefix="frs-bench-"))
    try:
        rows = bench(root, steps=args.steps, size=args.size, episodes=args.episodes)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    print("| what | figure |\n|---|---|")
    for what, figure in rows:
        print(f"| {what} | {figure} |")


def bench(root: Path, *, steps: int, size: int, episodes: int) -> list[tuple[str, str]]:
    """Return what was measured, in words and figures."""
    store = EpisodeStore(root)
    recorder = JournalRecorder(store)
    count = -(-steps // ROWS)
    name = recorder.begin(random_meta(size=size))
    wall, cpu = [], []
    for chunk in random_chunks(count=count, rows=ROWS, size=size):
        t, c = time.perf_counter(), time.process_time()
        recorder.chunk(chunk)
        wall.append(time.perf_counter() - t)
        cpu.append(time.process_time() - c)
    t, c = time.perf_counter(), time.process_time()
    recorder.end(Outcome.SUCCESS)
    commit, commit_cpu = time.perf_counter() - t, time.process_time() - c
    opened = [_timed(lambda: store.open(name)) for _ in range(10)]
    first_frame = [_timed(lambda: store.open(name).frame("wrist", steps // 2)) for _ in range(10)]
    episode = store.open(name)
    rng = np.random.default_rng(0)
    order = rng.integers(0, episode.n_steps, 200)
    episode.frame("left", 0)
    frames = [_timed(lambda s=int(s): episode.frame("left", s)) for s in order]
    fans = [_timed(lambda i=int(i): episode.offers(i)) for i in rng.integers(0, count, 100)]
    data = _timed(episode.record)
    for _ in range(episodes - 1):
        other = root / "episodes" / f"{new_name()}{SUFFIX}"
        other.mkdir()
        shutil.copy(episode.path / "zarr.json", other / "zarr.json")
    fresh = EpisodeStore(root)
    listing, again = _timed(fresh.list), _timed(fresh.list)
    files = sum(1 for p in episode.path.rglob("*") if p.is_file())
    return [
        (
            "episode",
            f"{episode.n_steps} steps, {count} chunks, {episode.arrays.size_bytes / 1e6:.1f} MB, {files} files",
        ),
        ("journal one chunk (8 steps), wall", _spread(wall)),
        ("journal one chunk (8 steps), CPU", _spread(cpu)),
        ("recording at 15 Hz, CPU share of real time", f"{sum(cpu) / (episode.n_steps / HZ):.3f}"),
        ("recording at 15 Hz, wall share of real time", f"{sum(wall) / (episode.n_steps / HZ):.3f}"),
        ("commit", f"{commit * 1e3:.0f} ms wall, {commit_cpu * 1e3:.0f} ms CPU"),
        ("open", _spread(opened)),
        ("open and show one frame", _spread(first_frame)),
        ("random frame", _spread(frames)),
        ("offers of a random chunk", _spread(fans)),
        ("whole record without images", f"{data * 1e3:.0f} ms"),
        (f"list {episodes} episodes, first time", f"{listing * 1e3:.0f} ms"),
        (f"list {episodes} episodes, again", f"{again * 1e3:.0f} ms"),
    ]


def _timed(work) -> float:
    t = time.perf_counter()
    work()
    return time.perf_counter() - t


def _spread(seconds: list[float]) -> str:
    ordered = sorted(s * 1e3 for s in seconds)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return f"p50 {statistics.median(ordered):.2f} ms, p95 {p95:.2f} ms, max {ordered[-1]:.2f} ms (n = {len(ordered)})"


if __name__ == "__main__":
    main()
