"""What one benchmark is: task, data, sizes and schedule; plain values, so that it can be written down and compared."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from frs_core.evaluation.rql_bench.play import family
from frs_core.learning.rql import RqlConfig


@dataclass(frozen=True, slots=True)
class BenchSpec:
    """One benchmark; what is drawn beside it follows from the seeds."""

    task: str
    config: RqlConfig
    rows: int = 5
    """h, actions of a chunk."""
    is_sparse: bool = False
    """-1 until everything is right, instead of -1 for each thing that is not."""
    batch: int = 256
    steps: int = 1_000_000
    evaluate_every: int = 100_000
    eval_episodes: int = 50
    episodes: int = 1000
    """Of play data, 1,001 steps each."""
    data_seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "config": {**asdict(self.config), "hidden": list(self.config.hidden)}}


def preset(task: str) -> BenchSpec:
    """Return the authors' settings for a task, at full size.

    Cube-single is not among their tasks and gets those of cube-double.

    Raises:
        ConfigError: play data of this task cannot be made here.

    Source: hyperparameters.sh at github.com/aoberai/rql 229c956.
    """
    alphas = {"cube": 10.0, "puzzle": 1.0, "scene": 3.0}
    kind, words = family(task), task.split("-")
    config = RqlConfig(alpha=alphas[kind], expectile=0.7, pessimism=0.5, discount=0.99)
    if kind == "cube" and words[1] in ("triple", "quadruple"):
        config = replace(config, alpha=1.0)
    if (kind == "cube" and words[1] != "quadruple") or words[1] == "4x4":
        config = replace(config, expectile=0.9)
    return BenchSpec(task, config, is_sparse=kind != "cube")
