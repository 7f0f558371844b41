"""The demo's lines of chance are independent: other scenes to steer, another training, other fresh scenes."""

import itertools
from pathlib import Path

import pytest

from frs_core.episodes import EpisodeStore
from frs_core.errors import ConfigError
from frs_core.evaluation.demo import LARGEST_SEED, DemoSpec, run_demo
from frs_core.evaluation.draws import LARGEST_SET, SCENES, SEEDS, Draw
from frs_core.evaluation.results import read_results
from frs_core.learning.metadata import read_metadata
from frs_core.learning.settings import BcSettings, DsbcSettings, FitSettings, NetworkSettings
from tests.fakes.evaluation import MAX_CHUNKS, TASK, setup_spec

SMALL, FIT = NetworkSettings(hidden=16, layers=1), FitSettings(steps=20, least_steps=0, batch_size=16)


def play(out: Path, seed: int) -> DemoSpec:
    spec = DemoSpec(
        task=TASK,
        out=out / str(seed),
        setup=setup_spec(),
        episodes=2,
        trials=1,
        max_chunks=MAX_CHUNKS,
        workers=1,
        seed=seed,
        learners={"dsbc": DsbcSettings(network=SMALL, fit=FIT), "bc-gaussian": BcSettings(network=SMALL, fit=FIT)},
        films=False,
    )
    run_demo(spec, lambda text: None)
    return spec


def test_the_seed_moves_the_steered_scenes_the_training_and_the_fresh_scenes(tmp_path: Path) -> None:
    spec = play(tmp_path, 3)
    steered = {i.seed for i in EpisodeStore(spec.out).list()}
    tested = {r.seed for r in read_results(spec.out / "results.jsonl")[1]}
    assert min(steered) >= 300_020_000
    assert max(steered) < 300_030_000
    assert tested == {300_030_000}
    for method in ("dsbc", "bc-gaussian"):
        assert read_metadata(spec.out / "learned" / TASK / method).settings["fit"]["seed"] == 3
    page = (spec.out / "report.html").read_text()
    assert "one set of episodes and one training" in page
    assert "--seed 3" in page


def test_lines_of_chance_share_no_scene_with_each_other_or_with_repeated_evaluations() -> None:
    specs = [DemoSpec(TASK, Path(), setup_spec(), seed=n) for n in range(LARGEST_SEED + 1)]
    firsts = [spec.first_steered for spec in specs]
    assert [specs[0].first_steered, specs[0].first_fresh] == [20_000, 30_000]
    assert all(after - before == 100_000_000 for before, after in itertools.pairwise(firsts))
    assert specs[1].first_steered > Draw(LARGEST_SET, SEEDS - 1).scenes(SCENES)[-1]
    assert specs[-1].first_fresh < 2**31


@pytest.mark.parametrize("seed", [-1, LARGEST_SEED + 1])
def test_a_seed_without_scenes_is_refused(seed: int) -> None:
    with pytest.raises(ConfigError, match="expected 0 to 20"):
        DemoSpec(TASK, Path(), setup_spec(), seed=seed)
