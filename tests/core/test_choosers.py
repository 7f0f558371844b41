"""Choosers that need no world, and the headless loop that they drive."""

from pathlib import Path

import numpy as np
import pytest

from frs_core.choosers.learned import LearnedChooser
from frs_core.choosers.scripted import PolicyChooser, SequenceChooser
from frs_core.episodes.records import MemoryRecorder
from frs_core.errors import ConfigError, EpisodeError, PolicyError
from frs_core.events import Driver, Outcome
from frs_core.session import InlineSession
from frs_core.steering.directions import Command, Direction
from frs_core.steering.methods import SteeringPlan
from tests.core.test_fan import FixedNoise
from tests.fakes.policy import ToyPolicy
from tests.fakes.session import FailingPolicy, FullDisk
from tests.fakes.world import PointWorld


def test_a_script_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "picks.toml"
    file.write_text('picks = ["up/more", "unsteered", "down/less/close"]\nthen = "stop"\n')
    chooser = SequenceChooser.from_toml(file)
    observation = PointWorld().observe()
    assert chooser.wants(observation) == (Command(Direction.UP),)


@pytest.mark.parametrize("text", ["picks = 3", 'picks = ["sideways"]', "picks = [", 'picks = ["up/much"]', "x = 1"])
def test_a_bad_script_names_what_is_wrong(tmp_path: Path, text: str) -> None:
    file = tmp_path / "picks.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="pick"):
        SequenceChooser.from_toml(file)


def test_a_missing_script_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        SequenceChooser.from_toml(tmp_path / "no.toml")


def test_headless_steering_succeeds_where_the_policy_alone_does_not() -> None:
    session = InlineSession(PointWorld(), ToyPolicy())
    steered = [
        session.run_episode(SequenceChooser(["up/more"] * 6), task="reach_up", seed=s, max_chunks=6) for s in range(5)
    ]
    alone = [session.run_episode(PolicyChooser(), task="reach_up", seed=s, max_chunks=6) for s in range(5)]
    assert all(r.success for r in steered)
    assert sum(r.success for r in alone) < 3
    assert {r.chunks for r in steered} == {3}


def test_a_headless_episode_is_deterministic() -> None:
    def run() -> tuple[int, tuple[str, ...], bytes]:
        world = PointWorld()
        result = InlineSession(world, ToyPolicy()).run_episode(PolicyChooser(), task="reach_up", seed=4, max_chunks=5)
        return result.steps, result.picks, world.observe().q.tobytes()

    assert run() == run()


def test_the_episodes_seed_changes_the_policys_own_choices() -> None:
    ends = []
    for seed in range(3):
        world = PointWorld()
        InlineSession(world, ToyPolicy()).run_episode(PolicyChooser(), task="reach_up", seed=seed, max_chunks=3)
        ends.append(world.observe().p_tcp)
    assert np.linalg.norm(ends[0] - ends[1]) > 0.02 or np.linalg.norm(ends[0] - ends[2]) > 0.02


def test_success_ends_the_episode_at_the_step_where_the_world_sees_it() -> None:
    recorder = MemoryRecorder()
    session = InlineSession(PointWorld(), ToyPolicy(), recorder=recorder)
    result = session.run_episode(SequenceChooser(["up/more"] * 6), task="reach_up", seed=1, max_chunks=6)
    (episode,) = recorder.episodes
    assert result.success
    assert episode.outcome is Outcome.SUCCESS
    assert sum(len(c.steps) for c in episode.chunks) == result.steps
    assert episode.chunks[-1].after.success
    assert not any(s.observation.success for c in episode.chunks for s in c.steps)


def test_a_success_in_mid_chunk_is_seen_by_the_cameras() -> None:
    recorder = MemoryRecorder()
    session = InlineSession(PointWorld(), ToyPolicy(), recorder=recorder, step_images=False)
    assert session.run_episode(SequenceChooser(["up/more"] * 6), task="reach_up", seed=1, max_chunks=6).success
    last = recorder.episodes[0].chunks[-1]
    assert len(last.steps) < len(recorder.episodes[0].chunks[0].steps), "the success came in mid-chunk"
    assert last.after.frames


def test_a_failed_episode_is_kept_as_a_failure_or_discarded() -> None:
    recorder = MemoryRecorder()
    session = InlineSession(PointWorld(), ToyPolicy(), recorder=recorder)
    down = SequenceChooser(["down/less"] * 2)
    session.run_episode(down, task="reach_up", seed=1, max_chunks=2)
    session.run_episode(down, task="reach_up", seed=1, max_chunks=2, keep_failures=False)
    assert [e.outcome for e in recorder.episodes] == [Outcome.FAILURE]


def test_the_learned_chooser_drives_headless() -> None:
    recorder = MemoryRecorder()
    up = np.zeros((8, 7), dtype=np.float32)
    up[:, 2] = 1.0
    session = InlineSession(PointWorld(), ToyPolicy(), noise_policy=FixedNoise(up), recorder=recorder)
    result = session.run_episode(LearnedChooser(), task="reach_up", seed=2, max_chunks=6)
    assert result.success
    assert {c.driver for c in recorder.episodes[0].chunks} == {Driver.LEARNED}


def test_headless_errors_are_raised_not_held() -> None:
    with pytest.raises(ConfigError, match="no learned candidate"):
        InlineSession(PointWorld(), ToyPolicy()).run_episode(LearnedChooser(), task="reach_up", max_chunks=2)
    with pytest.raises(ConfigError, match="Did you mean 'reach_up'"):
        InlineSession(PointWorld(), ToyPolicy()).run_episode(PolicyChooser(), task="reach_upp", max_chunks=2)
    policy = FailingPolicy()
    session = InlineSession(PointWorld(), policy)
    policy.error = PolicyError("no memory left")
    with pytest.raises(PolicyError, match="no memory left"):
        session.run_episode(PolicyChooser(), task="reach_up", max_chunks=2)
    policy.error = None
    assert session.run_episode(PolicyChooser(), task="reach_up", max_chunks=2).chunks == 2


def test_a_full_disk_ends_a_headless_episode_with_its_error() -> None:
    recorder = FullDisk()
    session = InlineSession(PointWorld(), ToyPolicy(), recorder=recorder)
    recorder.is_full = True
    with pytest.raises(EpisodeError, match="The disk is full"):
        session.run_episode(PolicyChooser(), task="reach_up", max_chunks=2)
    recorder.is_full = False
    assert session.run_episode(PolicyChooser(), task="reach_up", max_chunks=2).chunks == 2


def test_a_plan_can_be_given_per_episode() -> None:
    recorder = MemoryRecorder()
    session = InlineSession(PointWorld(), ToyPolicy(), recorder=recorder)
    plan = SteeringPlan(steps=5, seed=3)
    session.run_episode(PolicyChooser(), task="reach_up", max_chunks=1, plan=plan)
    (chunk,) = recorder.episodes[0].chunks
    assert chunk.plan.steps == 5
    assert recorder.episodes[0].meta.plan == plan
