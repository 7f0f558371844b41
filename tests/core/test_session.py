"""The session's rules: what moves the robot, what is recorded, how it holds and continues. No threads, no real time."""

import dataclasses

import numpy as np
import pytest

from frs_core import events as ev
from frs_core.choosers.base import Choice, Chooser
from frs_core.choosers.scripted import PolicyChooser, SequenceChooser
from frs_core.errors import PolicyError
from frs_core.events import Driver, HoldReason, Outcome, Pacing, Phase
from frs_core.robot.actions import ActionKind
from frs_core.robot.observation import Observation
from frs_core.session.options import SessionOptions
from frs_core.session.table import TABLE, Event, next_phase
from frs_core.steering.candidates import LEARNED, UNSTEERED, CandidateKind, Fan
from frs_core.steering.directions import Gripper
from frs_core.steering.methods import SteeringPlan
from frs_core.worlds.link import Lost, Observed
from tests.core.test_fan import FixedNoise
from tests.fakes.policy import ToyPolicy
from tests.fakes.session import FailingPolicy, FullDisk, HandSession
from tests.fakes.world import PointWorld

LEFT = ev.Pick("left/more")
START = ev.StartEpisode("reach_left", seed=1)


def started(**options: object) -> HandSession:
    session = HandSession(**options)  # type: ignore[arg-type]
    assert session.send(START).phase is Phase.CHOOSE
    return session


# --- the table ----------------------------------------------------------------------------------------------------------


def test_every_phase_but_replay_can_be_left_and_reached() -> None:
    phases = set(Phase) - {Phase.REPLAY}
    assert {p for p, _ in TABLE} == phases
    assert set(TABLE.values()) == phases


def test_only_a_pick_leads_to_motion() -> None:
    assert {e for (_, e), to in TABLE.items() if to is Phase.MOVING} == {Event.PICKED}


@pytest.mark.parametrize("phase", sorted(set(Phase) - {Phase.REPLAY}, key=str))
def test_a_hold_never_leads_to_motion(phase: Phase) -> None:
    assert next_phase(phase, Event.HELD) in (Phase.HOLD, Phase.FAULT)


# --- gated driving ------------------------------------------------------------------------------------------------------


def test_before_an_episode_the_fan_is_a_preview_that_cannot_be_picked() -> None:
    session = HandSession()
    snapshot = session.send(LEFT)
    assert snapshot.phase is Phase.HOLD
    assert snapshot.fan is not None
    assert snapshot.notice is not None
    assert snapshot.notice[1] == "Start an episode first"
    assert session.world.observe().step == 0


def test_gated_without_a_pick_nothing_moves() -> None:
    session = started()
    assert session.wait(100.0).phase is Phase.CHOOSE
    assert session.world.observe().step == 0


def test_a_pick_executes_the_first_rows_of_the_shown_candidate_and_waits_again() -> None:
    session = started()
    fan = session.engine.snapshot().fan
    assert fan is not None
    snapshot = session.send(LEFT)
    assert snapshot.phase is Phase.CHOOSE
    assert snapshot.episode.chunks == 1
    assert snapshot.episode.steps == 4
    np.testing.assert_allclose(snapshot.trail[-1], fan["left/more"].path[4], atol=1e-3)


def test_a_pick_that_was_not_offered_is_refused_with_a_sentence() -> None:
    snapshot = started().send(ev.Pick("sideways"))
    assert snapshot.phase is Phase.CHOOSE
    assert snapshot.notice is not None
    assert snapshot.notice[1] == "'sideways' is not in the fan"
    assert snapshot.counters["refused"] == 1


def test_a_gated_person_cannot_pick_from_a_fan_that_is_out_of_date() -> None:
    session = started()
    session.inference.is_paused = True
    session.engine.handle(ev.SetPlan(SteeringPlan(seed=9)))
    snapshot = session.send(LEFT)
    assert snapshot.is_fan_stale
    assert snapshot.notice is not None
    assert snapshot.notice[1] == "The fan is still being made"
    assert session.world.observe().step == 0


NOW_S = 1e6
"""After every time stamp of the point world's own clock."""


def looked(session: HandSession, seconds: float) -> ev.Snapshot:
    """A robot's cameras show the scene again, some seconds after the session began."""
    seen = dataclasses.replace(session.world.observe(), captured_ns=int(seconds * 1e9))
    session.engine._on_fact(Observed(seen))
    return session.settle()


def started_on_a_robot() -> HandSession:
    world = PointWorld()
    world.spec = dataclasses.replace(world.spec, is_simulated=False)
    session = started(world=world)
    looked(session, NOW_S)
    session.engine.parts.want_fan()
    session.settle()
    return session


def test_a_fan_that_is_only_renewed_can_be_picked_from_until_the_new_one_is_there() -> None:
    session = started_on_a_robot()
    first = session.engine.snapshot().fan
    session.inference.is_paused = True
    waiting = looked(session, 1.5 + NOW_S)
    assert len(session.inference.jobs) == 1
    assert waiting.fan is first
    assert not waiting.is_fan_stale
    assert not waiting.is_fan_pending
    session.engine.handle(LEFT)
    assert session.engine.phase is Phase.MOVING
    session.inference.is_paused = False
    after = session.settle()
    assert after.episode.chunks == 1
    assert not after.is_fan_stale
    assert after.counters["late_answers"] == 1
    assert after.fan is not None
    assert after.fan is not first


def test_a_renewed_fan_takes_the_old_ones_place_and_a_changed_setting_still_makes_it_stale() -> None:
    session = started_on_a_robot()
    first = session.engine.snapshot().fan
    assert first is not None
    second = looked(session, 1.5 + NOW_S).fan
    assert second is not None
    assert second.request_id > first.request_id
    session.inference.is_paused = True
    looked(session, 3.0 + NOW_S)
    session.engine.handle(ev.SetPlan(SteeringPlan(seed=9)))
    assert session.engine.snapshot().is_fan_stale
    session.inference.is_paused = False
    assert not session.settle().is_fan_stale


def test_while_moving_a_gated_pick_is_refused() -> None:
    session = started()
    session.engine.handle(LEFT)
    session.engine.tick()
    session.engine.handle(ev.Pick("right/more"))
    assert session.settle().episode.chunks == 1
    assert session.engine.parts.status.counters["refused"] == 1


def test_the_fan_is_remade_at_once_when_a_setting_changes() -> None:
    session = started()
    before = session.engine.snapshot().fan
    after = session.send(ev.SetGripper(Gripper.CLOSE)).fan
    assert before is not None
    assert after is not None
    assert "left/more/close" in after
    assert after.encode_ms == 0.0
    assert session.send(ev.SetPlan(SteeringPlan(seed=5))).plan.seed == 5
    worded = session.send(ev.SetInstruction("go left please"))
    assert worded.fan is not None
    assert worded.fan.observation.instruction == "go left please"


def test_a_dragged_slider_keeps_one_request_in_flight_and_ends_with_the_newest() -> None:
    session = started()
    session.inference.is_paused = True
    for seed in range(20):
        session.engine.handle(ev.SetPlan(SteeringPlan(seed=seed)))
        session.engine.tick()
    assert len(session.inference.jobs) == 1
    session.inference.is_paused = False
    snapshot = session.settle()
    assert not snapshot.is_fan_stale
    assert snapshot.plan.seed == 19


def test_each_chunk_has_its_own_noise_and_going_back_gives_the_same_again() -> None:
    session = started()
    first = session.engine.snapshot().fan
    second = session.send(LEFT).fan
    assert first is not None
    assert second is not None
    assert first.plan.seed != second.plan.seed
    again = session.send(ev.BackOneChunk()).fan
    assert again is not None
    np.testing.assert_array_equal(again["up/more"].chunk, first["up/more"].chunk)


# --- drivers and pacing -------------------------------------------------------------------------------------------------


def test_continuous_takes_the_policys_own_candidate_when_nothing_is_held() -> None:
    session = HandSession(options=SessionOptions(pacing=Pacing.CONTINUOUS))
    session.engine.handle(START)
    session.step_until(lambda s: s.episode.chunks == 3)
    assert {c.picked for c in session.chunks} == {UNSTEERED}


def test_who_picked_is_said_whoever_drives() -> None:
    script = SequenceChooser(["left/more"] * 3, then=None)
    session = HandSession(choosers={Driver.SCRIPTED: script}, options=SessionOptions(driver=Driver.SCRIPTED))
    assert session.engine.snapshot().picked_by is None
    session.engine.handle(START)
    assert session.step_until(lambda s: s.phase is Phase.MOVING).picked_by is Driver.SCRIPTED
    session.engine.handle(ev.Pick("up/more"))
    overridden = session.step_until(lambda s: s.picked == "up/more")
    assert (overridden.driver, overridden.picked_by) == (Driver.SCRIPTED, Driver.PERSON)


def test_in_continuous_pacing_the_policys_own_candidate_was_picked_by_nobody() -> None:
    session = HandSession(options=SessionOptions(pacing=Pacing.CONTINUOUS))
    session.engine.handle(START)
    moving = session.step_until(lambda s: s.phase is Phase.MOVING)
    assert (moving.picked, moving.driver, moving.picked_by) == (UNSTEERED, Driver.PERSON, None)
    session.engine.handle(ev.HoldDirection("up/more"))
    assert session.step_until(lambda s: s.picked == "up/more").picked_by is Driver.PERSON
    assert session.chunks[0].device == ev.NOBODY


def test_continuous_takes_the_held_direction_at_each_boundary_until_it_is_released() -> None:
    session = HandSession(options=SessionOptions(pacing=Pacing.CONTINUOUS))
    session.engine.handle(ev.HoldDirection("left/more", device="gamepad"))
    session.engine.handle(START)
    session.engine.handle(ev.HoldDirection("up/more"))
    session.step_until(lambda s: s.episode.chunks == 2)
    session.engine.handle(ev.HoldDirection(None))
    session.step_until(lambda s: s.episode.chunks == 4)
    session.engine.handle(ev.RequestHold(HoldReason.OPERATOR))
    session.settle()
    picked = [c.picked for c in session.chunks]
    assert picked[:2] == ["up/more", "up/more"]
    assert picked[-1] == UNSTEERED


def test_a_scripted_driver_picks_and_is_recorded_as_such() -> None:
    script = SequenceChooser(["left/more", "up/less"], then=None)
    session = started(choosers={Driver.SCRIPTED: script}, options=SessionOptions(driver=Driver.SCRIPTED))
    session.send(ev.EndEpisode(Outcome.SUCCESS))
    chunks = session.recorder.episodes[0].chunks
    assert [(c.picked, c.driver, c.is_correction) for c in chunks] == [
        ("left/more", Driver.SCRIPTED, False),
        ("up/less", Driver.SCRIPTED, False),
    ]


def test_a_person_overrides_a_driver_for_one_chunk_and_it_counts_as_a_correction() -> None:
    script = SequenceChooser(["left/more"] * 3, then=None)
    session = HandSession(choosers={Driver.SCRIPTED: script}, options=SessionOptions(driver=Driver.SCRIPTED))
    session.engine.handle(START)
    session.step_until(lambda s: s.phase is Phase.MOVING)
    session.engine.handle(ev.Pick("up/more", device="gamepad"))
    session.settle()
    session.send(ev.EndEpisode(Outcome.SUCCESS))
    chunks = session.recorder.episodes[0].chunks
    assert [(c.picked, c.driver, c.is_correction) for c in chunks[:3]] == [
        ("left/more", Driver.SCRIPTED, False),
        ("up/more", Driver.PERSON, True),
        ("left/more", Driver.SCRIPTED, False),
    ]
    assert session.engine.parts.status.counters["corrections"] == 1


def test_the_learned_driver_picks_the_learned_candidate() -> None:
    session = started()
    session.engine.set_noise_policy(FixedNoise(np.zeros((8, 7))))
    snapshot = session.settle()
    assert snapshot.noise_policy == "fixed"
    assert snapshot.fan is not None
    assert LEARNED in snapshot.fan
    session.engine.handle(ev.SetDriver(Driver.LEARNED))
    session.step_until(lambda s: s.episode.chunks == 1)
    chunk = session.chunks[0]
    assert (chunk.picked, chunk.driver) == (LEARNED, Driver.LEARNED)
    assert not chunk.noise.any()


def test_a_noise_policy_that_cannot_be_loaded_is_named_until_another_is_asked_for() -> None:
    session = started()
    session.engine.set_noise_policy("no/such/policy")
    snapshot = session.settle()
    assert snapshot.unloaded is not None
    path, why = snapshot.unloaded
    assert path == "no/such/policy"
    assert snapshot.notice is not None
    assert why == snapshot.notice[1]
    session.engine.set_noise_policy(FixedNoise(np.zeros((8, 7))))
    assert session.settle().unloaded is None


def test_the_learned_driver_without_a_noise_policy_holds_and_says_why() -> None:
    snapshot = started().send(ev.SetDriver(Driver.LEARNED))
    assert snapshot.phase is Phase.HOLD
    assert snapshot.detail.startswith("★ Learned: No noise policy is loaded")


def test_a_noise_policy_that_does_not_load_is_a_notice_and_drives_nothing() -> None:
    session = started()
    session.engine.set_noise_policy("no/such/folder")
    snapshot = session.settle()
    assert snapshot.phase is Phase.CHOOSE
    assert snapshot.notice is not None
    assert snapshot.noise_policy is None


class Slow(Chooser):
    def choose(self, fan: Fan) -> Choice:
        return Choice("up/more", "the cup is higher")


def test_an_advisor_votes_without_driving() -> None:
    session = started(advisor=Slow())
    snapshot = session.settle()
    assert snapshot.suggestion == ("up/more", "the cup is higher")
    assert snapshot.phase is Phase.CHOOSE
    assert session.world.observe().step == 0


def test_a_chooser_that_is_overruled_while_it_thinks_is_dropped() -> None:
    session = HandSession(choosers={Driver.VLM: Slow()}, options=SessionOptions(driver=Driver.VLM))
    session.chooser_worker.is_paused = True
    session.send(START, LEFT)
    session.send(LEFT)
    assert session.engine.snapshot().episode.chunks >= 1
    session.chooser_worker.is_paused = False
    session.step_until(lambda s: s.counters["late_answers"] >= 1)


def test_a_chooser_that_never_answers_makes_it_a_persons_turn() -> None:
    session = HandSession(choosers={Driver.VLM: Slow()}, options=SessionOptions(driver=Driver.VLM))
    session.chooser_worker.is_paused = True
    session.send(START)
    snapshot = session.wait(61.0)
    assert snapshot.phase is Phase.CHOOSE
    assert snapshot.notice is not None
    assert "It is your turn" in snapshot.notice[1]
    assert session.send(LEFT).episode.chunks == 1


# --- episodes -----------------------------------------------------------------------------------------------------------


def test_a_recorded_chunk_holds_the_offer_the_pick_and_what_became_of_it() -> None:
    session = started()
    fan = session.engine.snapshot().fan
    assert fan is not None
    session.send(dataclasses.replace(LEFT, device="spacemouse"), ev.EndEpisode(Outcome.SUCCESS, "well done"))
    episode = session.recorder.episodes[0]
    (chunk,) = episode.chunks
    assert (episode.outcome, episode.note) == (Outcome.SUCCESS, "well done")
    assert episode.meta.policy_fingerprint == "toy-1"
    assert chunk.offered_labels == tuple(c.label for c in fan.candidates)
    assert chunk.offered_chunks.shape == (len(fan.candidates), 8, 7)
    assert chunk.picked_index == chunk.offered_labels.index("left/more")
    assert chunk.offered_kinds[chunk.picked_index] is CandidateKind.STEERED
    assert chunk.device == "spacemouse"
    assert [s.row for s in chunk.steps] == [0, 1, 2, 3]
    assert chunk.steps[0].observation is chunk.observation
    assert chunk.after.step == 4
    np.testing.assert_array_equal(chunk.unsteered_chunk, fan[UNSTEERED].chunk)
    assert not np.array_equal(chunk.recovered, chunk.noise)


def test_a_stored_chunk_regenerates_from_its_noise() -> None:
    session = started()
    session.send(LEFT, ev.EndEpisode(Outcome.SUCCESS))
    (chunk,) = session.recorder.episodes[0].chunks
    import torch

    context = session.policy.encode(chunk.observation)
    again = session.policy.denoise(context, torch.from_numpy(chunk.noise)[None], steps=chunk.plan.steps)
    np.testing.assert_allclose(session.policy.to_robot(again)[0], chunk.chunk, atol=1e-6)


def test_the_next_fan_is_not_offered_before_the_chunk_is_journalled() -> None:
    session = started()
    session.writer.is_paused = True
    snapshot = session.send(LEFT)
    assert snapshot.is_fan_stale
    refused = session.send(LEFT)
    assert refused.episode.chunks == 1
    session.writer.is_paused = False
    session.settle()
    assert session.send(LEFT).episode.chunks == 2


def test_going_back_restores_the_boundary_exactly_and_keeps_the_branch() -> None:
    session = started()
    session.send(LEFT)
    before = session.engine.snapshot()
    session.send(ev.Pick("up/more"))
    after = session.send(ev.BackOneChunk())
    assert before.observation is not None
    assert after.observation is not None
    np.testing.assert_array_equal(after.observation.q, before.observation.q)
    assert after.phase is Phase.CHOOSE
    assert len(after.trail) == len(before.trail)
    session.send(ev.Pick("down/more"), ev.EndEpisode(Outcome.SUCCESS))
    episode = session.recorder.episodes[0]
    assert [(c.index, c.parent, c.picked) for c in episode.chunks] == [
        (0, -1, "left/more"),
        (1, 0, "up/more"),
        (2, 0, "down/more"),
    ]
    assert episode.undone == {1}
    assert [c.index for c in episode.main_line] == [0, 2]


def test_going_back_in_mid_chunk_returns_to_where_that_chunk_began() -> None:
    session = started()
    start = session.world.observe().q
    session.engine.handle(LEFT)
    session.step_until(lambda s: s.chunk_row == 2)
    snapshot = session.send(ev.BackOneChunk())
    assert snapshot.observation is not None
    np.testing.assert_array_equal(snapshot.observation.q, start)
    assert snapshot.episode.chunks == 0
    assert snapshot.phase is Phase.CHOOSE


def test_going_back_at_the_start_is_refused() -> None:
    snapshot = started().send(ev.BackOneChunk())
    assert snapshot.notice is not None
    assert snapshot.notice[1] == "This is the start of the episode"


def test_practice_records_nothing() -> None:
    session = HandSession()
    session.send(dataclasses.replace(START, unrecorded=True))
    session.send(LEFT)
    snapshot = session.send(ev.EndEpisode(Outcome.SUCCESS))
    assert snapshot.hold_reason is HoldReason.EPISODE_END
    assert session.recorder.episodes == []


def test_success_is_offered_and_never_taken_for_a_person() -> None:
    session = started()
    for _ in range(3):
        snapshot = session.send(LEFT)
    assert snapshot.episode.success_seen
    assert snapshot.phase is Phase.CHOOSE
    assert session.recorder.episodes == []


def test_a_second_episode_is_refused_until_the_first_is_labelled() -> None:
    session = started()
    session.send(LEFT)
    snapshot = session.send(START)
    assert snapshot.notice is not None
    assert snapshot.notice[1] == "Label or discard the running episode first"
    snapshot = session.send(ev.EndEpisode(Outcome.FAILURE), START)
    assert snapshot.phase is Phase.CHOOSE
    assert snapshot.episode.number == 2
    assert [e.outcome for e in session.recorder.episodes] == [Outcome.FAILURE]


def test_an_unknown_task_is_refused_with_the_known_ones() -> None:
    snapshot = HandSession().send(ev.StartEpisode("reach_lef"))
    assert snapshot.phase is Phase.HOLD
    assert "Did you mean 'reach_left'?" in snapshot.detail


def test_labelling_in_mid_chunk_keeps_the_rows_that_were_executed() -> None:
    session = started()
    session.engine.handle(LEFT)
    session.step_until(lambda s: s.chunk_row == 2)
    session.send(ev.EndEpisode(Outcome.FAILURE))
    (chunk,) = session.recorder.episodes[0].chunks
    assert len(chunk.steps) == 2


# --- holds --------------------------------------------------------------------------------------------------------------


def test_hold_stops_at_the_next_row_and_resume_goes_on_in_the_same_episode() -> None:
    session = started()
    session.engine.handle(LEFT)
    session.step_until(lambda s: s.chunk_row == 1)
    snapshot = session.send(ev.RequestHold(HoldReason.OPERATOR))
    assert (snapshot.phase, snapshot.hold_reason) == (Phase.HOLD, HoldReason.OPERATOR)
    assert session.world.observe().step == 1
    assert session.send(LEFT).phase is Phase.HOLD
    snapshot = session.send(ev.Resume())
    assert snapshot.phase is Phase.CHOOSE
    assert session.send(LEFT).episode.steps == 5


def test_a_later_key_press_does_not_hide_why_the_session_holds() -> None:
    session = started()
    session.engine.hold(HoldReason.DEVICE_LOST, "The SpaceMouse was unplugged.")
    snapshot = session.send(ev.RequestHold(HoldReason.OPERATOR), ev.RequestHold(HoldReason.FOCUS_LOST))
    assert snapshot.hold_reason is HoldReason.DEVICE_LOST
    assert snapshot.detail == "The SpaceMouse was unplugged."


def test_a_silent_window_engages_hold_and_only_after_it_has_spoken() -> None:
    session = started()
    assert session.wait(10.0).phase is Phase.CHOOSE
    session.send(ev.Heartbeat())
    assert session.wait(0.9).phase is Phase.CHOOSE
    snapshot = session.wait(0.2)
    assert snapshot.hold_reason is HoldReason.GUI_SILENT
    assert "1.1 s" in snapshot.detail


def test_a_policy_that_raises_holds_with_its_sentence_and_resume_asks_again() -> None:
    policy = FailingPolicy()
    session = started(policy=policy)
    policy.error = PolicyError("The policy gave non-finite numbers. Check the weights.")
    snapshot = session.send(LEFT)
    assert (snapshot.phase, snapshot.hold_reason) == (Phase.HOLD, HoldReason.INFERENCE_FAILED)
    assert snapshot.detail == "The policy gave non-finite numbers. Check the weights."
    policy.error = None
    assert session.send(ev.Resume()).phase is Phase.CHOOSE
    assert session.send(LEFT).episode.chunks == 2


def test_a_late_preview_is_no_failure_while_the_robot_holds_and_its_time_counts_from_the_resume() -> None:
    session = started()
    session.inference.is_paused = True
    session.send(ev.RequestHold(ev.HoldReason.OPERATOR))
    session.send(ev.SetInstruction("something else"))
    snapshot = session.wait(9.0)
    assert (snapshot.hold_reason, snapshot.detail) == (HoldReason.OPERATOR, "")
    session.send(ev.Resume())
    assert session.wait(2.0).phase is Phase.CHOOSE
    assert session.wait(1.5).hold_reason is HoldReason.INFERENCE_LATE


def test_a_policy_that_hangs_holds_and_its_late_answer_is_dropped() -> None:
    session = started()
    session.inference.is_paused = True
    session.send(LEFT)
    snapshot = session.wait(3.1)
    assert (snapshot.phase, snapshot.hold_reason) == (Phase.HOLD, HoldReason.INFERENCE_LATE)
    assert "within 3 s" in snapshot.detail
    session.inference.is_paused = False
    late = session.settle().counters["late_answers"]
    assert late == 1
    assert session.send(ev.Resume()).phase is Phase.CHOOSE


def test_a_full_disk_holds_loses_nothing_and_goes_on_after_resume() -> None:
    recorder = FullDisk()
    session = started(recorder=recorder)
    session.send(LEFT)
    recorder.is_full = True
    snapshot = session.send(ev.Pick("up/more"))
    assert (snapshot.phase, snapshot.hold_reason) == (Phase.HOLD, HoldReason.DISK)
    assert snapshot.detail.startswith("The disk is full")
    assert session.send(ev.EndEpisode(Outcome.SUCCESS)).hold_reason is HoldReason.DISK
    assert session.send(ev.Resume()).hold_reason is HoldReason.DISK
    recorder.is_full = False
    assert session.send(ev.Resume()).phase is Phase.CHOOSE
    session.send(ev.EndEpisode(Outcome.SUCCESS))
    (episode,) = recorder.episodes
    assert [c.picked for c in episode.chunks] == ["left/more", "up/more"]


def test_a_disk_that_does_not_answer_holds() -> None:
    session = started()
    session.writer.is_paused = True
    session.send(LEFT)
    assert session.wait(10.1).hold_reason is HoldReason.DISK


def test_a_chooser_that_raises_holds_with_a_sentence() -> None:
    class Broken(Chooser):
        def choose(self, fan: Fan) -> Choice:
            raise RuntimeError("no route to host")

    session = HandSession(choosers={Driver.VLM: Broken()}, options=SessionOptions(driver=Driver.VLM))
    snapshot = session.send(START)
    assert (snapshot.phase, snapshot.detail) == (Phase.HOLD, "VLM: no route to host")
    assert snapshot.hold_reason is HoldReason.DRIVER_FAILED


def test_a_policy_whose_cameras_the_world_lacks_is_a_fault_that_names_them() -> None:
    snapshot = HandSession(policy=ToyPolicy(cameras=("left", "overhead"))).engine.snapshot()
    assert snapshot.phase is Phase.FAULT
    assert snapshot.detail.startswith("Policy 'toy' needs camera 'overhead', world 'point' has left, right, wrist.")
    assert snapshot.hold_reason is HoldReason.MISFIT


def test_a_policy_whose_actions_the_world_does_not_take_is_a_fault() -> None:
    world = PointWorld()
    world.spec = dataclasses.replace(world.spec, action_kinds=(ActionKind.JOINT_POSITION,))
    snapshot = HandSession(world=world).engine.snapshot()
    assert snapshot.phase is Phase.FAULT
    assert "sends ee_delta actions" in snapshot.detail


def test_held_and_gone_the_choosers_of_an_episode_start_afresh() -> None:
    script = SequenceChooser(["left/more"], then=None)
    session = HandSession(choosers={Driver.SCRIPTED: script}, options=SessionOptions(driver=Driver.SCRIPTED))
    for _ in range(2):
        session.send(START)
        session.send(ev.EndEpisode(Outcome.SUCCESS))
    assert [len(e.chunks) for e in session.recorder.episodes] == [1, 1]


def test_policy_chooser_lets_the_policy_act() -> None:
    session = started(choosers={Driver.SCRIPTED: PolicyChooser()}, options=SessionOptions())
    session.engine.handle(ev.SetDriver(Driver.SCRIPTED))
    session.step_until(lambda s: s.episode.chunks == 2)
    assert {c.picked for c in session.chunks} == {UNSTEERED}


def test_a_slow_disk_is_told_before_its_line_overflows_and_nothing_is_lost() -> None:
    session = HandSession()
    session.writer.is_paused = True
    for seed in range(50):
        session.send(ev.StartEpisode("reach_left", seed=seed))
    snapshot = session.engine.snapshot()
    assert snapshot.hold_reason is HoldReason.DISK
    assert "disk is too slow: 13 records wait" in snapshot.detail
    assert session.send(ev.EndEpisode(Outcome.SUCCESS)).hold_reason is HoldReason.EPISODE_END
    session.writer.is_paused = False
    assert session.settle().episode.number == 0
    kept = [e.outcome for e in session.recorder.episodes]
    assert kept[-1] is Outcome.SUCCESS
    assert session.send(START).phase is Phase.CHOOSE


def test_labelling_twice_while_the_episode_is_being_kept_keeps_it_once() -> None:
    session = started()
    session.send(LEFT)
    session.writer.is_paused = True
    session.send(ev.EndEpisode(Outcome.SUCCESS))
    snapshot = session.send(ev.EndEpisode(Outcome.FAILURE))
    assert snapshot.notice is not None
    assert snapshot.notice[1] == "Already saving this episode"
    session.writer.is_paused = False
    assert session.settle().hold_reason is HoldReason.EPISODE_END
    assert [e.outcome for e in session.recorder.episodes] == [Outcome.SUCCESS]


def test_a_chunk_that_is_stopped_before_its_first_step_says_so() -> None:
    session = started()
    session.engine.handle(LEFT)
    session.engine.parts.link.hold()
    snapshot = session.settle()
    assert (snapshot.phase, snapshot.episode.chunks) == (Phase.CHOOSE, 0)
    assert snapshot.notice is not None
    assert snapshot.notice[1].startswith("'left/more' was stopped before its first step")


def test_an_override_that_is_not_in_the_fan_is_refused_and_the_driver_goes_on() -> None:
    chooser = SequenceChooser(["up/more"] * 3)
    session = HandSession(choosers={Driver.SCRIPTED: chooser}, options=SessionOptions(driver=Driver.SCRIPTED))
    session.engine.handle(START)
    session.engine.handle(ev.Pick("no/such"))
    session.engine.handle(ev.Pick("no/such"))
    session.step_until(lambda s: s.phase is Phase.CHOOSE and s.fan is not None)
    session.engine.handle(ev.Pick("no/such"))
    session.step_until(lambda s: s.episode.chunks == 1)
    assert session.chunks[0].picked == "up/more"
    assert session.engine.parts.status.counters["refused"] >= 1


# --- acts and holds -----------------------------------------------------------------------------------------------------


def test_a_hold_while_the_scene_is_set_is_shown_and_waits_for_resume() -> None:
    for reason in (HoldReason.OPERATOR, HoldReason.FOCUS_LOST, HoldReason.DEVICE_LOST):
        session = HandSession(options=SessionOptions(pacing=Pacing.CONTINUOUS))
        session.engine.handle(START)
        session.engine.handle(ev.RequestHold(reason))
        snapshot = session.settle()
        assert snapshot.phase is Phase.HOLD
        assert snapshot.hold_reason is reason
        assert session.world.observe().step == 0


def test_a_start_that_waits_for_the_policy_is_called_off_by_a_hold() -> None:
    session = HandSession()
    session.engine.parts.fans.spec, spec = None, session.engine.parts.fans.spec
    session.engine.handle(START)
    session.engine.handle(ev.RequestHold(HoldReason.OPERATOR))
    session.engine.parts.fans.spec = spec
    session.engine._check_both()
    snapshot = session.settle()
    assert snapshot.phase is Phase.HOLD
    assert snapshot.hold_reason is HoldReason.OPERATOR
    assert snapshot.counters["episodes"] == 0
    assert snapshot.notice is not None
    assert snapshot.notice[1].startswith("The waiting start was cancelled")


def test_a_robot_does_not_start_by_itself_once_everything_is_loaded() -> None:
    world = PointWorld()
    world.spec = dataclasses.replace(world.spec, is_simulated=False)
    session = HandSession(world=world)
    session.engine.parts.fans.spec, spec = None, session.engine.parts.fans.spec
    session.engine.handle(START)
    session.now += 2.5
    session.engine.parts.fans.spec = spec
    session.engine._check_both()
    snapshot = session.settle()
    assert snapshot.counters["episodes"] == 0
    assert snapshot.notice is not None
    assert "Start again" in snapshot.notice[1]


def test_the_last_of_hold_resume_hold_counts_while_the_chunk_ends() -> None:
    session = HandSession(options=SessionOptions(pacing=Pacing.CONTINUOUS))
    session.engine.handle(START)
    session.step_until(lambda s: s.chunk_row >= 2)
    moved = session.world.observe().step
    for command in (ev.RequestHold(HoldReason.OPERATOR), ev.Resume(), ev.RequestHold(HoldReason.OPERATOR, "again")):
        session.engine.handle(command)
    assert session.settle().phase is Phase.HOLD
    assert session.world.observe().step == moved


def test_a_key_that_was_held_before_the_hold_does_not_steer_after_it() -> None:
    session = HandSession(options=SessionOptions(pacing=Pacing.CONTINUOUS))
    session.engine.handle(START)
    session.engine.handle(ev.HoldDirection("up/more"))
    session.step_until(lambda s: s.picked == "up/more")
    session.engine.handle(ev.RequestHold(HoldReason.OPERATOR))
    session.settle()
    session.engine.handle(ev.Resume())
    assert session.step_until(lambda s: s.phase is Phase.MOVING).picked == UNSTEERED


def test_a_first_chunk_that_does_not_fit_the_robot_holds_with_both_numbers() -> None:
    world = PointWorld()
    world.spec = dataclasses.replace(world.spec, is_simulated=False)
    policy = ToyPolicy()
    wide = np.full(7, 0.001)
    policy.spec = dataclasses.replace(policy.spec, action_low=-wide, action_high=wide)
    session = HandSession(world=world, policy=policy)
    session.send(START)
    snapshot = session.send(LEFT)
    assert snapshot.phase is Phase.HOLD
    assert snapshot.hold_reason is HoldReason.UNFIT_CHUNK
    assert "outside -0.021 to 0.021" in snapshot.detail
    assert world.observe().step == 0


def test_a_policy_whose_chunks_fit_is_looked_at_once() -> None:
    world = PointWorld()
    world.spec = dataclasses.replace(world.spec, is_simulated=False)
    session = started(world=world)
    assert session.send(LEFT).episode.chunks == 1
    assert session.engine.parts.motion._has_fitted


def test_what_waits_for_the_disk_is_written_before_the_episode_is_left() -> None:
    calls: list[str] = []

    class Noting(FullDisk):
        def chunk(self, record: object) -> None:
            calls.append("chunk")
            super().chunk(record)  # type: ignore[arg-type]

        def undo(self, index: int) -> None:
            calls.append("undo")
            super().undo(index)

        def abort(self) -> None:
            calls.append("abort")
            super().abort()

    session = started(recorder=Noting())
    session.writer.is_paused = True
    session.send(LEFT, ev.BackOneChunk())
    session.engine.abandon()
    session.writer.is_paused = False
    session.writer.work()
    assert calls == ["chunk", "undo", "abort"]


def test_a_recording_keeps_the_worlds_options() -> None:
    world = PointWorld()
    world.spec = dataclasses.replace(world.spec, options={"setting": -1})
    session = started(world=world)
    session.send(LEFT, ev.EndEpisode(Outcome.SUCCESS))
    (episode,) = session.recorder.episodes
    assert dict(episode.meta.world_options) == {"setting": -1}


def test_a_candidate_that_hits_the_table_is_marked_live() -> None:
    world = PointWorld()
    table = float(world.observe().p_tcp[2]) - 0.03
    world.spec = dataclasses.replace(world.spec, limits=dataclasses.replace(world.spec.limits, table_height=table))
    fan = started(world=world).engine.snapshot().fan
    assert fan is not None
    assert fan["down/more"].verdict.hits_table
    assert not fan["up/more"].verdict.hits_table


def test_the_fan_is_judged_by_the_worlds_own_joint_limits() -> None:
    world = PointWorld()
    high = world.spec.limits.joint_high.copy()
    high[:] = world.observe().q + 0.05
    world.spec = dataclasses.replace(world.spec, limits=dataclasses.replace(world.spec.limits, joint_high=high))
    fan = started(world=world).engine.snapshot().fan
    assert fan is not None
    assert any(c.verdict.near_joint_limit for c in fan.candidates)


def test_an_end_that_waits_for_the_chunk_is_not_replaced_by_resume_or_back() -> None:
    for later in (ev.Resume(), ev.BackOneChunk()):
        session = HandSession(options=SessionOptions(pacing=Pacing.CONTINUOUS))
        session.engine.handle(START)
        session.step_until(lambda s: s.chunk_row >= 2)
        for command in (ev.EndEpisode(Outcome.SUCCESS), ev.RequestHold(HoldReason.OPERATOR), later):
            session.engine.handle(command)
        snapshot = session.settle()
        assert snapshot.hold_reason is HoldReason.EPISODE_END
        assert [e.outcome for e in session.recorder.episodes] == [Outcome.SUCCESS]


def test_an_episode_that_the_disk_refuses_can_be_thrown_away() -> None:
    disk = FullDisk()
    session = started(recorder=disk)
    disk.is_full = True
    session.send(LEFT)
    assert session.engine.parts.status.reason is HoldReason.DISK
    snapshot = session.send(ev.EndEpisode(Outcome.DISCARDED))
    assert snapshot.hold_reason is HoldReason.EPISODE_END
    assert snapshot.notice is not None
    assert "can be recovered" in snapshot.notice[1]
    assert snapshot.ended is not None
    assert snapshot.ended.is_unfinished
    assert not snapshot.ended.is_kept
    disk.is_full = False
    assert session.send(START).phase is Phase.CHOOSE


def test_a_world_lost_before_the_chunks_first_row_is_brought_back_to_where_it_began() -> None:
    session = started()
    session.send(LEFT)
    boundary = session.engine.parts.world.boundary_state
    session.inference.is_paused = True
    session.engine.handle(ev.Pick("up/more"))
    session.inference.is_paused = False
    session.settle()
    session.engine.handle(ev.Pick("up/more"))
    session.engine._on_fact(Lost("the world died"))
    assert session.engine.parts.keeper.episode is not None
    before = session.engine.parts.world.boundary_state
    session.world.reset(task="reach_left", seed=9)
    session.send(ev.Reconnect())
    assert session.engine.parts.world.boundary_state == before != boundary
    assert session.world.observe().step == 8


def test_going_back_on_a_robot_is_refused_without_stopping_the_chunk() -> None:
    world = PointWorld()
    world.spec = dataclasses.replace(world.spec, is_simulated=False)
    session = started(world=world)
    session.engine.handle(LEFT)
    session.engine.tick()
    session.engine.handle(ev.BackOneChunk())
    snapshot = session.settle()
    assert snapshot.episode.steps == 4
    assert snapshot.notice is not None
    assert snapshot.notice[1] == "Going back one chunk works only in simulation"


def test_the_rows_of_a_moving_chunk_are_recorded_when_the_session_closes() -> None:
    session = started()
    session.engine.handle(LEFT)
    for _ in range(3):
        session.engine.tick()
    rows = session.engine.snapshot().chunk_row
    assert rows >= 2
    kept = session.recorder.open_episode
    assert kept is not None
    session.engine.close()
    session.writer.work()
    assert [len(c.steps) for c in kept.chunks] == [rows]


def test_what_may_move_without_another_act_is_said() -> None:
    session = started()
    assert not session.engine.snapshot().may_move
    session.engine.handle(ev.SetPacing(Pacing.CONTINUOUS))
    assert session.engine.snapshot().may_move
    waiting = HandSession()
    assert not waiting.engine.snapshot().may_move
    waiting.engine.handle(START)
    assert waiting.engine.snapshot().may_move


# --- attempts that end by themselves ------------------------------------------------------------------------------------


class Unknowing(PointWorld):
    """A world that does not know how an episode went, like a real robot."""

    def _observation(self, *args: object) -> Observation:
        return dataclasses.replace(super()._observation(*args), success=None)  # type: ignore[arg-type]


def test_an_attempt_ends_with_the_worlds_success_or_after_its_chunks() -> None:
    session = HandSession(choosers={Driver.SCRIPTED: SequenceChooser(["left/more"] * 9)})
    session.send(ev.SetDriver(Driver.SCRIPTED), dataclasses.replace(START, most_chunks=9))
    session.send(dataclasses.replace(START, most_chunks=2))
    assert [e.outcome for e in session.recorder.episodes] == [Outcome.SUCCESS, Outcome.FAILURE]
    assert len(session.recorder.episodes[1].main_line) == 2
    assert session.recorder.episodes[1].last is not None
    assert session.phase is Phase.HOLD


def test_an_attempt_that_only_a_person_can_judge_holds_after_its_chunks_and_goes_on_after_resume() -> None:
    session = HandSession(world=Unknowing(), choosers={Driver.SCRIPTED: PolicyChooser()})
    snapshot = session.send(ev.SetDriver(Driver.SCRIPTED), dataclasses.replace(START, most_chunks=2))
    assert (snapshot.phase, snapshot.hold_reason) == (Phase.HOLD, HoldReason.CHUNKS_USED_UP)
    assert snapshot.episode.chunks == 2
    session.engine.handle(ev.Resume())
    session.step_until(lambda s: s.episode.chunks == 3)
    session.send(ev.SetDriver(Driver.PERSON), ev.EndEpisode(Outcome.SUCCESS))
    assert session.recorder.episodes[0].outcome is Outcome.SUCCESS


def test_a_noise_policy_is_told_the_scene_in_which_it_tries_things() -> None:
    class Trying(FixedNoise):
        scenes: list[int]

        def begin(self, seed: int) -> None:
            self.scenes.append(seed)

    noise_policy, session = Trying(np.zeros((8, 7))), HandSession()
    noise_policy.scenes = []
    session.engine.set_noise_policy(noise_policy)
    session.send(dataclasses.replace(START, seed=40_003))
    assert noise_policy.scenes == [40_003]


def test_a_practice_that_ends_holds_an_attempt_and_says_nothing_where_nothing_is_under_way() -> None:
    session = HandSession(choosers={Driver.SCRIPTED: PolicyChooser()})
    ended, before = ev.RequestHold(HoldReason.PRACTICE_ENDED), session.engine.snapshot()
    idle = session.send(ended)
    assert (idle.phase, idle.hold_reason) == (Phase.HOLD, before.hold_reason)
    start = dataclasses.replace(START, most_chunks=9)
    for command in (ev.SetPacing(Pacing.CONTINUOUS), ev.SetDriver(Driver.SCRIPTED), start):
        session.engine.handle(command)
    session.step_until(lambda s: s.episode.chunks == 1)
    held = session.send(ended, ev.SetDriver(Driver.PERSON))
    assert (held.phase, held.hold_reason) == (Phase.HOLD, HoldReason.PRACTICE_ENDED)
    assert held.episode.chunks <= 2
    assert session.send(ev.Resume()).episode.number == 0, "in continuous pacing it would have driven to its end"


# --- nobody steers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pacing", [Pacing.GATED, Pacing.CONTINUOUS])
def test_a_driver_stops_when_the_task_is_done_and_goes_on_after_resume(pacing: Pacing) -> None:
    driver = Driver.SCRIPTED if pacing is Pacing.GATED else Driver.PERSON
    script = SequenceChooser(["left/more"] * 40, then=None)
    session = HandSession(choosers={Driver.SCRIPTED: script}, options=SessionOptions(driver=driver, pacing=pacing))
    session.engine.handle(START)
    if pacing is Pacing.CONTINUOUS:
        session.engine.handle(ev.HoldDirection("left/more"))
        session.step_until(lambda s: s.episode.success_seen)
        session.engine.handle(ev.HoldDirection(None))
    held = session.step_until(lambda s: s.phase is Phase.HOLD)
    assert (held.hold_reason, held.episode.success_seen) == (HoldReason.SUCCESS_SEEN, True)
    session.engine.handle(ev.Resume())
    assert session.step_until(lambda s: s.phase is Phase.MOVING).episode.success_seen


def test_a_person_who_picks_is_not_stopped_by_success() -> None:
    session = started()
    for _ in range(40):
        session.send(LEFT)
        if session.engine.snapshot().episode.success_seen:
            break
    now = session.engine.snapshot()
    assert (now.episode.success_seen, now.phase) == (True, Phase.CHOOSE)


def test_a_driver_stops_after_so_many_chunks_that_no_person_picked() -> None:
    script = SequenceChooser(["up/less", "down/less"] * 20, then=None)
    options = SessionOptions(driver=Driver.SCRIPTED, unattended_chunks=3)
    session = HandSession(choosers={Driver.SCRIPTED: script}, options=options)
    session.engine.handle(START)
    held = session.step_until(lambda s: s.phase is Phase.HOLD)
    assert (held.hold_reason, held.episode.chunks) == (HoldReason.UNATTENDED, 3)
    session.engine.handle(ev.Resume())
    assert session.step_until(lambda s: s.phase is Phase.HOLD).episode.chunks == 6


def test_the_last_episode_stays_told_with_its_label() -> None:
    session = started()
    session.send(LEFT)
    assert session.engine.snapshot().ended is None
    ended = session.send(ev.EndEpisode(Outcome.FAILURE)).ended
    assert ended is not None
    assert (ended.outcome, ended.status.chunks, ended.is_kept) == (Outcome.FAILURE, 1, ended.status.is_recording)


# --- one pick ahead -----------------------------------------------------------------------------------------------------


def looking_ahead() -> HandSession:
    """Return a session in mid-chunk that takes the next pick."""
    session = started()
    session.send(ev.SetLookAhead(True))
    session.engine.handle(LEFT)
    session.step_until(lambda s: s.phase is Phase.MOVING)
    return session


def test_a_press_while_the_robot_moves_is_refused_unless_looking_ahead_is_asked_for() -> None:
    session = started()
    session.engine.handle(LEFT)
    session.step_until(lambda s: s.phase is Phase.MOVING)
    session.engine.handle(ev.Pick("up/more"))
    assert session.engine.snapshot().waiting is None
    assert session.settle().episode.chunks == 1


@pytest.mark.parametrize("is_simulated", [False, True])
def test_a_robot_begins_without_looking_ahead_whatever_was_asked_for_before_it_was_there(is_simulated: bool) -> None:
    world = PointWorld()
    world.spec = dataclasses.replace(world.spec, is_simulated=is_simulated)
    session = HandSession(world=world)
    session.engine._on_fact(Lost("gone"))
    session.send(ev.SetLookAhead(True), ev.Reconnect())
    assert session.settle().looks_ahead is is_simulated
    assert session.send(ev.SetLookAhead(True)).looks_ahead


def test_an_episode_of_undone_chunks_alone_is_said_to_be_kept() -> None:
    session = started()
    session.send(LEFT, ev.BackOneChunk(), ev.EndEpisode(Outcome.DISCARDED))
    session.settle()
    ended = session.engine.snapshot().ended
    assert ended is not None
    assert (ended.status.chunks, ended.undone, ended.is_kept) == (0, 1, True)


def test_the_newest_press_while_the_robot_moves_is_the_next_pick_and_the_only_one() -> None:
    session = looking_ahead()
    session.engine.handle(ev.Pick("down/more"))
    session.engine.handle(ev.Pick("up/more"))
    assert session.engine.snapshot().waiting == "up/more"
    rested = session.settle()
    assert (rested.phase, rested.waiting, rested.episode.chunks) == (Phase.CHOOSE, None, 2)
    assert [c.picked for c in session.chunks] == ["left/more", "up/more"]
    assert [c.is_correction for c in session.chunks] == [False, False]


@pytest.mark.parametrize("stop", [ev.DropPick(), ev.RequestHold(HoldReason.OPERATOR), ev.SetLookAhead(False)])
def test_the_pick_that_waits_can_be_taken_back(stop: ev.SessionCommand) -> None:
    session = looking_ahead()
    session.engine.handle(ev.Pick("up/more"))
    session.engine.handle(stop)
    assert session.engine.snapshot().waiting is None
    if session.settle().phase is Phase.HOLD:
        session.send(ev.Resume())
    assert [c.picked for c in session.chunks] == ["left/more"]


def test_the_pick_that_waits_is_not_done_once_the_task_is_done() -> None:
    session = started()
    session.send(ev.SetLookAhead(True))
    for _ in range(40):
        session.engine.handle(LEFT)
        session.step_until(lambda s: s.phase is Phase.MOVING)
        session.engine.handle(LEFT)
        session.step_until(lambda s: s.phase is not Phase.MOVING)
        if session.engine.snapshot().episode.success_seen:
            break
        session.engine.handle(ev.DropPick())
        session.settle()
    chunks = session.engine.snapshot().episode.chunks
    rested = session.settle()
    assert (rested.episode.chunks, rested.phase, rested.episode.success_seen) == (chunks, Phase.CHOOSE, True)


def test_a_marked_target_is_recorded_with_the_chunks_and_forgotten_with_the_episode() -> None:
    session = started()
    session.send(LEFT, ev.SetTarget((0.5, 0.1, 0.0)), LEFT)
    assert session.engine.snapshot().target == (0.5, 0.1, 0.0)
    assert [c.target for c in session.chunks] == [None, (0.5, 0.1, 0.0)]
    session.send(ev.EndEpisode(Outcome.FAILURE), START)
    assert session.engine.snapshot().target is None


def test_a_pick_made_during_a_long_chunk_waits_two_seconds_for_its_fan_from_the_chunks_end() -> None:
    session = looking_ahead()
    session.engine.handle(ev.Pick("up/more"))
    session.now += 5.0
    assert session.settle().episode.chunks == 2
    session.engine.handle(LEFT)
    session.step_until(lambda s: s.phase is Phase.MOVING)
    session.engine.handle(ev.Pick("up/more"))
    while session.phase is Phase.MOVING:
        session.engine.tick()
    session.now += 2.5
    late = session.settle()
    assert (late.episode.chunks, late.phase) == (3, Phase.CHOOSE)
    assert late.notice is not None
    assert "waited for longer than 2 s" in late.notice[1]
