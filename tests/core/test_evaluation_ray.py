"""Ray gives the same numbers as processes; runs where the extra is installed."""

from pathlib import Path

import pytest

from frs_core.evaluation.runner import EvalSpec, run_evaluation
from tests.fakes.evaluation import TASK, job


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ray_gives_the_same_numbers_as_processes(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    from frs_core.evaluation.ray_pool import RayPool

    spec = EvalSpec(("base", "frs"), (TASK, "reach_up"), (0, 1), job())
    on_ray = run_evaluation(spec, tmp_path / "ray.jsonl", pool=RayPool(spec.job, workers=2))
    here = run_evaluation(spec, tmp_path / "here.jsonl", workers=1)

    def outcomes(results: list) -> list:
        return [(r.cell, r.success, r.steps, r.chunks, r.steered_chunks, r.error) for r in results]

    assert outcomes(on_ray) == outcomes(here)


def test_without_ray_the_error_tells_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from frs_core.errors import ConfigError
    from frs_core.evaluation.ray_pool import RayPool

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install frs-cockpit\[ray\]"):
        RayPool(job(), workers=1)
