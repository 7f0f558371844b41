"""End to end on the point world: steer, record, learn, and do it alone better than the generalist does."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from frs_core.commands import eval as eval_commands
from frs_core.episodes import EpisodeStore
from frs_core.errors import ConfigError, FingerprintMismatch, PolicyError, TrainingError
from frs_core.evaluation.cloned import ClonedPolicy
from frs_core.evaluation.collect import Collected, collect_demonstrations, collect_steered
from frs_core.evaluation.demonstrate import LABEL
from frs_core.evaluation.methods import find_method
from frs_core.evaluation.results import Cell
from frs_core.evaluation.rollout import MethodRunner, RolloutSettings
from frs_core.evaluation.worker import Runner
from frs_core.evaluation.wrapped import PerturbedWorld
from frs_core.events import Outcome
from frs_core.learning import DsbcSettings, FitSettings, NetworkSettings, TrainRequest, find_learner
from frs_core.learning.base import ChunkPolicy
from frs_core.learning.metadata import read_metadata
from frs_core.learning.run import run_request
from frs_core.learning.settings import PickQSettings
from frs_core.policies import NamedPolicy
from frs_core.robot.observation import Observation
from frs_core.steering.candidates import UNSTEERED
from frs_core.steering.policy_spec import Context
from tests.fakes.evaluation import MAX_CHUNKS, TASK, job, make_setup
from tests.fakes.learning import IMITATORS
from tests.fakes.policy import ToyPolicy
from tests.fakes.world import PointWorld

SMALL = NetworkSettings(hidden=32, layers=2)
FIT = FitSettings(steps=120, batch_size=16, learning_rate=3e-3, evaluate_every=20)
FRESH = range(500, 506)


@dataclass(frozen=True)
class EndToEnd:
    root: Path
    steered: Collected
    demonstrated: Collected


def request(folder: Path, kind: str, **changes: object) -> TrainRequest:
    root = folder / ("demonstrations" if kind == "offline-dsbc" else "steered")
    values = {
        "kind": kind,
        "root": root,
        "episodes": (),
        "out": folder / "learned" / TASK / kind,
        "fingerprint": "toy-1",
        "task": TASK,
        "policy": NamedPolicy("tests.fakes.policy:ToyPolicy"),
        "settings": PickQSettings(hidden=32, first_steps=200, imitation=DsbcSettings(network=SMALL, fit=FIT))
        if kind == "pick-q"
        else replace(find_learner(kind).settings(), network=SMALL, fit=FIT),  # type: ignore[call-arg]
    }
    return TrainRequest(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> EndToEnd:
    root = tmp_path_factory.mktemp("run")
    settings = RolloutSettings(max_chunks=MAX_CHUNKS)
    here = make_setup()
    steered = collect_steered(
        here, EpisodeStore(root / "steered"), task=TASK, count=4, first_seed=10, settings=settings
    )
    demonstrated = collect_demonstrations(
        here, EpisodeStore(root / "demonstrations"), task=TASK, count=3, first_seed=10
    )
    here.close()
    for kind in IMITATORS:
        run_request(request(root, kind))
    return EndToEnd(root, steered, demonstrated)


def successes(run: EndToEnd, method: str) -> int:
    runner = Runner(job(str(run.root / "learned")))
    results = [runner.run(Cell(method, TASK, seed)) for seed in FRESH]
    runner.close()
    assert not any(r.error for r in results), results
    return sum(r.success for r in results)


@pytest.mark.parametrize("method", IMITATORS)
def test_what_was_learned_beats_the_generalist_on_fresh_scenes(run: EndToEnd, method: str) -> None:
    assert successes(run, "base") <= 2
    assert successes(run, method) >= 5


def test_steered_successes_are_in_the_store_and_were_counted(run: EndToEnd) -> None:
    infos = [i for i in EpisodeStore(run.root / "steered").list() if i.outcome is Outcome.SUCCESS]
    assert [i.name for i in infos] == list(run.steered.names)
    assert {(i.outcome, i.task, i.fingerprint) for i in infos} == {(Outcome.SUCCESS, TASK, "toy-1")}
    assert all(i.steered_share == 1.0 for i in infos)
    assert len(run.steered.seeds) == 4 <= run.steered.attempts


def test_demonstrations_hold_actions_and_no_noises(run: EndToEnd) -> None:
    store = EpisodeStore(run.root / "demonstrations")
    episode = store.open(run.demonstrated.names[0])
    chunk = episode.chunk(0)
    assert chunk.offered_labels == (LABEL,)
    assert np.isnan(chunk.noise).all()
    np.testing.assert_allclose(chunk.chunk[:, 1], 0.016, atol=1e-6)
    sent = np.stack([step.action_sent for step in chunk.steps])
    np.testing.assert_array_equal(sent, chunk.chunk[: len(sent)])


def test_offline_labels_tell_how_many_chunks_were_kept(run: EndToEnd) -> None:
    data = read_metadata(run.root / "learned" / TASK / "offline-dsbc").data
    assert 0 < data["labels"]["kept"] <= data["labels"]["chunks"]
    assert data["labels"]["error_worst_kept"] <= 1e-3


def test_provenance_names_the_episodes_their_seeds_and_plan(run: EndToEnd) -> None:
    data = read_metadata(run.root / "learned" / TASK / "dsbc").data
    assert tuple(data["episodes"]) == run.steered.names
    assert tuple(data["seeds"]) == run.steered.seeds
    assert data["plan"]["components"] == 1


def test_fewer_episodes_can_be_asked_for_and_too_many_are_refused(run: EndToEnd, tmp_path: Path) -> None:
    result = run_request(request(run.root, "dsbc", count=2, out=tmp_path / "dsbc@2"))
    assert result.episodes == 2
    with pytest.raises(TrainingError, match="Asked to learn from 9 episodes"):
        run_request(request(run.root, "dsbc", count=9, out=tmp_path / "dsbc@9"))


def test_another_fingerprint_is_refused_at_training_too(run: EndToEnd, tmp_path: Path) -> None:
    with pytest.raises(FingerprintMismatch):
        run_request(request(run.root, "dsbc", fingerprint="toy-2", out=tmp_path / "x"))
    with pytest.raises(FingerprintMismatch):
        run_request(request(run.root, "offline-dsbc", fingerprint="toy-2", out=tmp_path / "x"))
    assert not (tmp_path / "x").exists()


def test_a_task_nobody_recorded_is_named(run: EndToEnd, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no successful episodes of task 'reach_up'"):
        run_request(request(run.root, "dsbc", task="reach_up", out=tmp_path / "x"))


@pytest.mark.parametrize("step_images", [True, False])
def test_collecting_records_images_of_every_step_or_of_chunk_ends(tmp_path: Path, step_images: bool) -> None:
    eval_commands.collect(
        TASK,
        episodes=1,
        first_seed=10,
        data=tmp_path,
        world="tests.fakes.world:PointWorld",
        policy="tests.fakes.policy:ToyPolicy",
        scripted_operator="tests.fakes.operator:PointOperator",
        max_chunks=MAX_CHUNKS,
        step_images=step_images,
    )
    store = EpisodeStore(tmp_path)
    episode = store.open(store.list()[-1].name)
    images = len(episode.arrays["images/left/captured_ns"])
    # One before the first step, then one per step or per chunk; an episode may end within a chunk.
    steps, chunks = episode.info.n_steps, episode.info.n_chunks
    assert steps > chunks
    assert images == 1 + (steps if step_images else chunks)


def test_collecting_gives_up_after_its_limit(tmp_path: Path) -> None:
    here = make_setup()
    with pytest.raises(TrainingError, match="Only 0 of 2 successes at task 'reach_left' after 3 attempts"):
        collect_steered(
            here,
            EpisodeStore(tmp_path),
            task=TASK,
            count=2,
            first_seed=0,
            settings=RolloutSettings(max_chunks=1),
            most_attempts=3,
        )
    here.close()


def test_the_same_scene_gives_the_same_episode() -> None:
    here = make_setup()
    runner = MethodRunner(find_method("base"), here, settings=RolloutSettings(max_chunks=4))
    first, again = runner.run(task=TASK, seed=3), runner.run(task=TASK, seed=3)
    other = runner.run(task=TASK, seed=4)
    here.close()
    assert (first.steps, first.picks, first.success) == (again.steps, again.picks, again.success)
    assert set(first.picks) == {UNSTEERED}
    assert other.seed == 4


def test_a_perturbed_start_is_as_far_off_as_asked_and_depends_on_the_scene() -> None:
    plain = PointWorld().reset(task=TASK, seed=3).p_tcp
    moved = PerturbedWorld(PointWorld(), distance=0.06).reset(task=TASK, seed=3).p_tcp
    other = PerturbedWorld(PointWorld(), distance=0.06).reset(task=TASK, seed=4).p_tcp
    assert np.linalg.norm(moved - plain) == pytest.approx(0.06, abs=0.003)
    assert np.linalg.norm(moved - other) > 0.01


def test_a_cloner_in_the_generalists_place_cannot_be_steered() -> None:
    class Still(ChunkPolicy):
        name, policy_fingerprint = "still", "toy-1"

        def chunk(self, context: Context, observation: Observation) -> np.ndarray:
            return np.full((8, 7), 0.005, dtype=np.float32)

    import torch

    policy = ClonedPolicy(ToyPolicy(width=9), Still())
    context = policy.encode(PointWorld().reset(task=TASK, seed=0))
    x = policy.denoise(context, torch.randn(2, 8, 9))
    np.testing.assert_allclose(policy.to_robot(x), 0.005, atol=1e-6)
    assert not policy.spec.can_steer
    with pytest.raises(PolicyError, match="cannot be steered"):
        policy.velocity(context, x, 0.5)


@pytest.mark.parametrize("values", [{"max_chunks": 0}, {"perturb_m": 0.5}])
def test_impossible_limits_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        RolloutSettings(**values)  # type: ignore[arg-type]
