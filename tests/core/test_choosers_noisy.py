"""An operator who errs: as often as asked, in every direction alike, and in the same chunks whoever steers."""

from collections import Counter
from pathlib import Path

import pytest

from frs_core.choosers.base import Choice, Chooser
from frs_core.choosers.noisy import NoisyOperator
from frs_core.choosers.scripted import SequenceChooser
from frs_core.commands import eval as eval_commands
from frs_core.episodes import EpisodeStore
from frs_core.episodes.records import MemoryRecorder
from frs_core.errors import ConfigError, TrainingError
from frs_core.evaluation.results import Cell
from frs_core.evaluation.worker import Runner
from frs_core.events import Outcome
from frs_core.robot.observation import Observation
from frs_core.session import InlineSession
from frs_core.steering.candidates import UNSTEERED, Fan
from frs_core.steering.directions import Amount, Command, Direction, Gripper
from tests.fakes.evaluation import MAX_CHUNKS, TASK, job
from tests.fakes.policy import ToyPolicy
from tests.fakes.snapshots import sample_fan
from tests.fakes.world import PointWorld


def picks(share: float, *, seed: int, chunks: int, label: str = "left/more") -> list[str]:
    """Return what an operator's picks become in one episode."""
    noisy = NoisyOperator(SequenceChooser([], then=label), share, seed=seed)
    noisy.begin(sample_fan().observation)
    return [choice.label for _ in range(chunks) if (choice := noisy.choose(sample_fan())) is not None]


def test_a_share_of_the_chunks_gets_one_of_the_other_directions_alike() -> None:
    counts = Counter(label for seed in range(40) for label in picks(0.3, seed=seed, chunks=50))
    wrong = 2000 - counts.pop("left/more")
    assert abs(wrong - 600) < 4 * (2000 * 0.3 * 0.7) ** 0.5
    assert set(counts) == {f"{d.value}/more" for d in Direction if d is not Direction.LEFT}
    assert all(abs(n - wrong / 5) < 4 * (wrong * 0.2 * 0.8) ** 0.5 for n in counts.values())


def test_no_share_changes_nothing_and_the_whole_changes_all() -> None:
    assert picks(0.0, seed=1, chunks=9) == ["left/more"] * 9
    assert "left/more" not in picks(1.0, seed=1, chunks=200)


def test_where_the_operator_commands_no_direction_a_wrong_one_is_small() -> None:
    assert set(picks(1.0, seed=2, chunks=200, label=UNSTEERED)) == {f"{d.value}/less" for d in Direction}
    assert set(picks(1.0, seed=2, chunks=200, label="stay/close")) == {f"{d.value}/less" for d in Direction}


def test_the_draws_follow_from_scene_and_chunk_alone() -> None:
    def wrong(seed: int, label: str) -> list[bool]:
        return [pick != label for pick in picks(0.4, seed=seed, chunks=30, label=label)]

    assert picks(0.4, seed=5, chunks=30) == picks(0.4, seed=5, chunks=30)
    assert wrong(5, "left/more") == wrong(5, "up/less") == wrong(5, UNSTEERED)
    assert wrong(5, "left/more") != wrong(6, "left/more")


class Carrying(Chooser):
    """Goes left with the gripper closed, and asks for nothing else."""

    def wants(self, observation: Observation) -> tuple[Command, ...]:
        return (Command(Direction.LEFT, Amount.LESS, Gripper.CLOSE),)

    def choose(self, fan: Fan) -> Choice:
        return Choice("left/less/close")


def test_amount_and_gripper_stay_as_commanded_and_only_what_is_needed_is_computed() -> None:
    observation = sample_fan().observation
    assert NoisyOperator(Carrying(), 0.0, seed=0).wants(observation) == Carrying().wants(observation)
    asked = NoisyOperator(Carrying(), 1.0, seed=0).wants(observation)
    assert asked is not None
    assert {c.label for c in asked} == {f"{d.value}/less/close" for d in Direction}
    recorder = MemoryRecorder()
    with InlineSession(PointWorld(), ToyPolicy(), recorder=recorder, full_fan=False) as session:
        result = session.run_episode(NoisyOperator(Carrying(), 1.0, seed=0), task="reach_up", max_chunks=5)
    assert all(pick.endswith("/less/close") and not pick.startswith("left") for pick in result.picks)
    assert recorder.episodes[0].chunks[0].reason == "by mistake, not left/less/close"


def test_an_evaluation_with_mistakes_says_so_and_does_worse() -> None:
    clean, erring = job(), job()
    erring.rollout["operator_noise"] = 1.0
    good = Runner(clean).run(Cell("frs", TASK, 0))
    bad = Runner(erring).run(Cell("frs", TASK, 0))
    assert (good.success, good.operator_noise) == (True, 0.0)
    assert (bad.success, bad.operator_noise, bad.chunks) == (False, 1.0, MAX_CHUNKS)
    assert "nobody steers in method 'base'" in Runner(erring).run(Cell("base", TASK, 0)).error


def test_recording_with_mistakes_keeps_the_failures_and_gives_up_after_the_attempts_asked_for(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"Only 0 of 1 success .* after 2 attempts"):
        eval_commands.collect(
            TASK,
            episodes=1,
            data=tmp_path,
            world="tests.fakes.world:PointWorld",
            policy="tests.fakes.policy:ToyPolicy",
            scripted_operator="tests.fakes.operator:PointOperator",
            max_chunks=MAX_CHUNKS,
            operator_noise=1.0,
            most_attempts=2,
        )
    assert [info.outcome for info in EpisodeStore(tmp_path).list()] == [Outcome.FAILURE, Outcome.FAILURE]
    with pytest.raises(ConfigError, match="Leave one of them out"):
        eval_commands.collect(TASK, data=tmp_path, demonstrations=True, operator_noise=0.5)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    erring = job()
    erring.rollout["operator_noise"] = share
    with pytest.raises(ConfigError, match="expected 0 to 1"):
        Runner(erring)
