"""What a session keeps grows with an episode and goes with it."""

import gc

from frs_core.choosers.scripted import PolicyChooser
from frs_core.episodes.records import MemoryRecorder
from frs_core.session import InlineSession
from frs_core.session.running import Boundary, RunningEpisode
from tests.fakes.policy import ToyPolicy
from tests.fakes.world import PointWorld


def _kept() -> int:
    gc.collect()
    return sum(type(thing) in (Boundary, RunningEpisode) for thing in gc.get_objects())


def test_an_episode_that_ended_leaves_no_boundary_behind() -> None:
    recorder = MemoryRecorder()
    session = InlineSession(PointWorld(), ToyPolicy(), recorder=recorder)
    before = _kept()
    for seed in range(3):
        session.run_episode(PolicyChooser(), task="reach_left", seed=seed, max_chunks=3)
        recorder.episodes.clear()
    assert _kept() == before
