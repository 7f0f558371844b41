"""How long a training takes and how much memory it needs, in its own process as the cockpit runs it.

Default: ten episodes of 15 chunks, 1000 features, chunks [16, 7], of which three columns carry a learnable direction and the
rest plain noise, as steering leaves it.

    python -m benchmarks.bench_learning [--features 1000] [--repeats 3]

Loading torch in the fresh process is part of `seconds`; `fit` is the training alone. Memory is the trainer's peak, torch
included.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np

from frs_core.learning import TrainJob, TrainRequest, read_metadata
from frs_core.learning.progress import OnProgress
from frs_core.learning.table import TrainingTable

EPISODES, CHUNKS, HORIZON, SIZE = 10, 15, 16, 7


def make_table(request: TrainRequest, on_progress: OnProgress) -> TrainingTable:
    """Return the benchmark's chunks; `request.name` holds the number of features."""
    rng = np.random.default_rng(0)
    rows, features = EPISODES * CHUNKS, int(request.name)
    hidden = rng.normal(size=(rows, 12))
    seen = np.tanh(hidden @ rng.normal(size=(12, features)) / 3) + 0.1 * rng.normal(size=(rows, features))
    noise = rng.normal(size=(rows, HORIZON, SIZE))
    noise[:, :, :3] = np.tanh(hidden @ rng.normal(size=(12, 3)))[:, None]
    return TrainingTable(
        features=seen.astype(np.float32),
        proprio=np.tile(hidden, 2)[:, :18].astype(np.float32),
        noise=noise.astype(np.float32),
        chunk=(0.01 * noise).astype(np.float32),
        episode=np.repeat(np.arange(EPISODES), CHUNKS),
        names=tuple(f"episode-{i}" for i in range(EPISODES)),
        fingerprint="benchmark",
    )


def main() -> None:
    """Run and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{EPISODES * CHUNKS} chunks, {arguments.features} features, chunks [{HORIZON}, {SIZE}]\n")
    print("| learner | seconds (median) | fit, s | steps kept / taken | peak MB |\n|---|---|---|---|---|")
    for kind in ("dsbc", "bc-gaussian", "bc-flow"):
        print(_row(kind, arguments.features, arguments.repeats), flush=True)


def _row(kind: str, features: int, repeats: int) -> str:
    seconds, metadata = [], None
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            request = TrainRequest(
                kind=kind,
                root=Path(folder),
                episodes=(),
                out=Path(folder) / "out",
                fingerprint="benchmark",
                name=str(features),
                source="benchmarks.bench_learning:make_table",
            )
            job = TrainJob(request)
            job.start()
            result = job.wait()
            job.close()
            seconds.append(result.seconds)
            metadata = read_metadata(result.path)
    assert metadata is not None
    metrics = metadata.metrics
    return (
        f"| {kind} | {statistics.median(seconds):.1f} | {metrics['seconds']:.1f} | "
        f"{metrics['steps']} / {metrics['steps_taken']} | {metrics['peak_memory_mb']} |"
    )


if __name__ == "__main__":
    main()
