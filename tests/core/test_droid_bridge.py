"""The bridge's protocol, spoken to it by hand."""

import ast
import threading
import time
from collections.abc import Iterator

import cv2
import msgpack
import numpy as np
import psutil
import pytest
import zmq

from frs_core.worlds.droid.bridge import PROTOCOL, Bridge, BridgeError
from tests.fakes.droid_env import SERIALS, FakeRobotEnv, make
from tests.fakes.running_bridge import BRIDGE, bridge_process, bridge_thread, end
from tests.waiting import LONG_S

STILL = [0.0] * 8


class Talker:
    """A client that can say anything."""

    def __init__(self, address: str) -> None:
        self._socket = zmq.Context.instance().socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(address)
        self.session: str | None = None
        self.epoch = 0

    def raw(self, *parts: bytes) -> dict:
        self._socket.send_multipart(list(parts))
        assert self._socket.poll(30000), "no answer"
        return msgpack.unpackb(self._socket.recv(), raw=False)

    def ask(self, op: object, **fields: object) -> dict:
        answer = self.raw(msgpack.packb({"id": 1, "session": self.session, "op": op, "epoch": self.epoch, **fields}))
        self.epoch = answer.get("epoch", self.epoch)
        return answer

    def hello(self, **fields: object) -> dict:
        answer = self.ask("hello", **{"protocol": PROTOCOL, "client": "test", **fields})
        self.session = answer.get("session", self.session)
        return answer

    def step(self, action: list[float], *, kind: str = "joint_velocity", based_on: object = None) -> dict:
        tick = self.ask("state")["state"]["tick"] if based_on is None else based_on
        return self.ask("step", kind=kind, action=action, based_on=tick)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def served() -> Iterator[tuple[Bridge, FakeRobotEnv, Talker]]:
    with bridge_thread() as (bridge, env):
        talker = Talker(bridge.address)
        yield bridge, env, talker
        talker.close()


def test_the_file_is_python_37_and_imports_nothing_of_ours() -> None:
    source = BRIDGE.read_text()
    tree = ast.parse(source, feature_version=(3, 7))
    imported = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    imported |= {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert "frs_core" not in imported
    assert {"numpy", "zmq", "msgpack", "cv2"} <= imported


def test_connecting_looking_and_leaving_never_moves_the_arm(served) -> None:
    _, env, talker = served
    assert talker.hello()["ok"]
    for op in ("state", "observe", "calibration", "reset_request", "bye"):
        assert talker.ask(op)["ok"], op
    assert env.robot.commands == []


def test_hello_tells_cameras_calibration_and_limits(served) -> None:
    _, _, talker = served
    facts = talker.hello()
    assert facts["cameras"] == ["left", "right", "wrist"]
    assert facts["control_hz"] == 15
    assert facts["calibration"]["wrist"]["frame"] == "flange"
    assert facts["calibration"]["right"]["pose"] is None
    assert facts["calibration"]["left"]["made_at"] < time.time() - 3600
    assert len(facts["joint_low"]) == 7


def test_another_protocol_is_refused_with_both_versions(served) -> None:
    _, _, talker = served
    answer = talker.hello(protocol=99)
    assert (answer["ok"], answer["code"]) == (False, "protocol")
    assert "99" in answer["error"]
    assert str(PROTOCOL) in answer["error"]


def test_nothing_is_answered_without_a_session(served) -> None:
    _, _, talker = served
    assert talker.ask("state")["code"] == "no_session"
    assert talker.ask("step", kind="joint_velocity", action=STILL, based_on=1)["code"] == "no_session"


def test_a_second_client_is_refused_until_the_first_is_silent(served) -> None:
    bridge, _, first = served
    first.hello()
    bridge.last_heard += 60.0
    second = Talker(bridge.address)
    assert second.hello()["code"] == "busy"
    bridge.last_heard -= 120.0
    assert second.hello()["ok"]
    assert first.ask("state")["code"] == "no_session"
    second.close()


def test_a_wrong_token_is_refused_and_other_machines_need_one() -> None:
    with bridge_thread(token="secret") as (bridge, _):
        talker = Talker(bridge.address)
        assert talker.hello(token="guess")["code"] == "token"
        assert talker.hello(token="secret")["ok"]
        talker.close()
    with pytest.raises(BridgeError, match="no token"):
        Bridge(*make(), bind="tcp://0.0.0.0:*")


@pytest.mark.parametrize("bind", ["tcp://127.0.0.1:4343/?pw", "tcp://127.0.0.1:99999", "tcp://127.0.0.1"])
def test_an_address_that_cannot_be_listened_on_is_one_sentence_without_what_is_secret(bind: str) -> None:
    with pytest.raises(BridgeError) as refused:
        Bridge(*make(), bind=bind)
    assert refused.value.text.startswith(f"The bridge cannot listen on '{bind.replace('?pw', '?...')}': ")
    with pytest.raises(BridgeError, match="no token") as refused:
        Bridge(*make(), bind="tcp://ada:pw@0.0.0.0:4343")
    assert "pw" not in str(refused.value)


def test_a_joint_velocity_step_moves_by_a_fifth_of_a_radian(served) -> None:
    _, env, talker = served
    talker.hello()
    before = np.array(talker.ask("state")["state"]["q"])
    assert talker.step([0.5, 0, 0, 0, 0, 0, 0, 1.0])["ok"]
    time.sleep(0.1)
    after = talker.ask("state")["state"]
    np.testing.assert_allclose(np.array(after["q"]) - before, [0.1, 0, 0, 0, 0, 0, 0], atol=1e-6)
    assert env.robot.commands[-1][0] == "joint_velocity"


def test_a_joint_position_step_goes_there(served) -> None:
    _, env, talker = served
    talker.hello()
    state = talker.ask("state")["state"]
    target = np.array(state["q"]) + 0.05
    assert talker.step([*target, 0.0], kind="joint_position", based_on=state["tick"])["ok"]
    time.sleep(0.1)
    np.testing.assert_allclose(talker.ask("state")["state"]["q"], target, atol=1e-6)
    assert env.robot.commands[-1][0] == "joint_position"


@pytest.mark.parametrize(
    ("action", "kind", "code"),
    [
        ([1.5, 0, 0, 0, 0, 0, 0, 0], "joint_velocity", "limit"),
        ([float("nan")] + [0.0] * 7, "joint_velocity", "bad_request"),
        ([0.0] * 7, "joint_velocity", "bad_request"),
        (["a"] * 8, "joint_velocity", "bad_request"),
        (["0.1"] * 8, "joint_velocity", "bad_request"),
        ([True] * 8, "joint_velocity", "bad_request"),
        ("00000000", "joint_velocity", "bad_request"),
        ([2.0, 0, 0, -2, 0, 2, 0, 0], "joint_position", "limit"),
        (STILL, "cartesian_velocity", "bad_request"),
    ],
)
def test_an_action_out_of_bounds_is_refused_and_not_sent(served, action, kind, code) -> None:
    _, env, talker = served
    talker.hello()
    assert talker.step(action, kind=kind)["code"] == code
    assert env.robot.commands == []


def test_a_step_past_a_joint_limit_is_refused_but_the_way_back_is_open(served) -> None:
    _, env, talker = served
    talker.hello()
    q = np.array(talker.ask("state")["state"]["q"])
    q[3] = -3.06
    env.robot.drive.go(q, blocking=True)
    assert talker.step([0, 0, 0, -0.5, 0, 0, 0, 0])["code"] == "limit"
    assert talker.step([0, 0, 0, 0.5, 0, 0, 0, 0])["ok"]


def test_a_step_based_on_an_old_or_unknown_state_is_refused(served) -> None:
    bridge, env, talker = served
    talker.hello()
    tick = talker.ask("state")["state"]["tick"]
    at, q = bridge.robot.ticks[tick]
    bridge.robot.ticks[tick] = (at - 20.0, q)
    assert talker.step(STILL, based_on=tick)["code"] == "stale"
    assert talker.step(STILL, based_on=999)["code"] == "stale"
    assert talker.step(STILL, based_on="x")["code"] == "stale"
    assert env.robot.commands == []


def test_steps_are_spaced_at_the_control_rate(served) -> None:
    _, _, talker = served
    talker.hello()
    started = time.monotonic()
    for _ in range(7):
        assert talker.step(STILL)["ok"]
    assert time.monotonic() - started > 6 / 15 - 0.01


def test_one_state_authorises_one_step(served) -> None:
    _, _, talker = served
    talker.hello()
    before = np.array(talker.ask("state")["state"]["q"])
    tick = talker.ask("state")["state"]["tick"]
    answers = [talker.step([1.0, 0, 0, 0, 0, 0, 0, 0], based_on=tick) for _ in range(8)]
    assert [a["ok"] for a in answers] == [True] + [False] * 7
    assert {a["code"] for a in answers[1:]} == {"stale"}
    assert "acted on already" in answers[1]["error"]
    time.sleep(0.2)
    assert np.abs(np.array(talker.ask("state")["state"]["q"]) - before).max() < 0.2 + 1e-6


def test_a_state_from_before_the_last_command_authorises_nothing(served) -> None:
    _, env, talker = served
    talker.hello()
    older, newer = (talker.ask("state")["state"]["tick"] for _ in range(2))
    answer = talker.step(STILL, based_on=newer)
    assert answer["ok"]
    assert talker.step(STILL, based_on=older)["code"] == "stale"
    assert talker.step(STILL, based_on=answer["state"]["tick"])["code"] == "stale"
    assert len(env.robot.commands) == 1


def test_what_was_asked_for_before_a_hold_is_refused_however_late(served) -> None:
    _, env, talker = served
    talker.hello()
    before = talker.epoch
    assert talker.ask("hold", settle=False)["epoch"] > before
    assert talker.ask("step", kind="joint_velocity", action=STILL, epoch=before, based_on=1)["code"] == "held"
    assert talker.ask("reset_request", epoch=before)["code"] == "held"
    for nonsense in (None, "1", True, 1.0, before + 99):
        tick = talker.ask("state")["state"]["tick"]
        answer = talker.ask("step", kind="joint_velocity", action=STILL, epoch=nonsense, based_on=tick)
        assert answer["code"] == "held", nonsense
    assert env.robot.commands == []
    assert talker.step(STILL)["ok"]


def test_a_hold_between_request_and_reset_withdraws_the_reset(served) -> None:
    _, env, talker = served
    talker.hello()
    token = talker.ask("reset_request")["token"]
    talker.ask("hold", settle=False)
    assert talker.ask("reset", token=token)["code"] == "reset"
    assert env.robot.commands == []


def test_a_new_client_begins_a_new_epoch(served) -> None:
    _, env, talker = served
    first = talker.hello()["epoch"]
    tick = talker.ask("state")["state"]["tick"]
    assert talker.hello()["epoch"] > first
    assert talker.ask("step", kind="joint_velocity", action=STILL, epoch=first, based_on=tick)["code"] == "held"
    assert env.robot.commands == []


def test_a_reset_needs_a_fresh_token_used_once(served) -> None:
    bridge, env, talker = served
    talker.hello()
    assert talker.ask("reset")["code"] == "reset"
    assert talker.ask("reset", token="guess")["code"] == "reset"
    token = talker.ask("reset_request")["token"]
    bridge.reset_until -= 10.0
    assert talker.ask("reset", token=token)["code"] == "reset"
    assert env.robot.commands == []
    token = talker.ask("reset_request")["token"]
    assert talker.ask("reset", token=token)["ok"]
    assert talker.ask("reset", token=token)["code"] == "reset"
    np.testing.assert_allclose(talker.ask("state")["state"]["q"], env.reset_joints, atol=1e-6)


def test_a_reset_that_does_not_arrive_is_an_error(served) -> None:
    _, env, talker = served
    talker.hello()
    env.reset = lambda randomize=False: None
    env.robot.drive.go(env.reset_joints + 0.4, blocking=True)
    token = talker.ask("reset_request")["token"]
    answer = talker.ask("reset", token=token)
    assert answer["code"] == "reset"
    assert "0.40 rad" in answer["error"]


def test_pictures_are_the_left_eye_resized_in_rgb(served) -> None:
    _, _, talker = served
    talker.hello(image={"width": 160, "height": 90, "encoding": "raw"})
    frame = talker.ask("observe")["frames"]["left"]
    image = np.frombuffer(frame["data"], np.uint8).reshape(90, 160, 3)
    np.testing.assert_allclose(image[60, 100].astype(int), [200, 60, 200], atol=2)
    assert frame["serial"] == SERIALS["left"]


def test_jpeg_pictures_decode_to_the_same_colours(served) -> None:
    _, _, talker = served
    talker.hello(image={"width": 160, "height": 90, "quality": 95})
    frame = talker.ask("observe")["frames"]["left"]
    bgr = cv2.imdecode(np.frombuffer(frame["data"], np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_allclose(bgr[60, 100].astype(int), [200, 60, 200], atol=12)


def test_a_picture_the_client_has_is_not_sent_again(served) -> None:
    _, env, talker = served
    talker.hello()
    env.camera_reader.camera_dict[SERIALS["left"]].hang.set()
    time.sleep(0.1)
    frame = talker.ask("observe")["frames"]["left"]
    again = talker.ask("observe", have={"left": frame["sequence"]})["frames"]["left"]
    assert "data" not in again
    assert again["sequence"] == frame["sequence"]


def test_dropped_frames_are_counted_and_the_other_cameras_go_on(served) -> None:
    _, env, talker = served
    talker.hello()
    env.camera_reader.camera_dict[SERIALS["right"]].is_dropping = True
    first = talker.ask("observe")["frames"]
    deadline = time.monotonic() + LONG_S
    while time.monotonic() < deadline:
        frames = talker.ask("observe")["frames"]
        if frames["right"]["dropped"] >= 3 and frames["left"]["sequence"] > first["left"]["sequence"]:
            break
    assert frames["right"]["dropped"] >= 3
    assert frames["left"]["sequence"] > first["left"]["sequence"]
    assert frames["left"]["dropped"] == 0


def test_a_hanging_camera_does_not_delay_a_step(served) -> None:
    _, env, talker = served
    talker.hello()
    for camera in env.camera_reader.camera_dict.values():
        camera.hang.set()
    started = time.monotonic()
    assert talker.step(STILL)["ok"]
    assert time.monotonic() - started < 10.0


def test_a_failing_robot_computer_is_reported_and_the_bridge_lives_on(served) -> None:
    _, env, talker = served
    talker.hello()
    env.robot.broken = "the cable was pulled"
    answer = talker.ask("state")
    assert answer["code"] == "robot"
    assert "the cable was pulled" in answer["error"]
    env.robot.broken = ""
    assert talker.ask("state")["ok"]


def test_a_frozen_controller_is_noticed(served) -> None:
    bridge, env, talker = served
    talker.hello()
    talker.ask("state")
    env.robot.is_clock_frozen = True
    talker.ask("state")
    bridge.robot._robot_time_seen -= 1.0
    assert talker.ask("state")["code"] == "frozen"


def test_silence_in_mid_motion_sends_nothing_and_is_counted() -> None:
    with bridge_thread(heartbeat=0.1) as (bridge, env):
        talker = Talker(bridge.address)
        talker.hello()
        talker.step([0.2, 0, 0, 0, 0, 0, 0, 0])
        sent = len(env.robot.commands)
        deadline = time.monotonic() + LONG_S
        while bridge.counters["silences"] == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert bridge.counters["silences"] == 1
        assert len(env.robot.commands) == sent
        talker.close()


def test_hold_sends_one_still_command_and_keeps_the_gripper(served) -> None:
    _, env, talker = served
    talker.hello()
    talker.step([0.2, 0, 0, 0, 0, 0, 0, 1.0])
    assert talker.ask("hold")["ok"]
    assert env.robot.commands[-1] == ("joint_velocity", [0.0] * 7 + [1.0])


def test_only_one_thread_ever_touches_the_robot(served) -> None:
    _, env, talker = served
    talker.hello()
    for _ in range(3):
        talker.ask("observe")
        talker.step(STILL)
    serving = {t.ident for t in threading.enumerate() if t.name == "bridge"}
    assert env.threads == serving


def mutated(message: dict, rng: np.random.Generator) -> bytes:
    """The message with a value replaced or bytes changed, cut or doubled."""
    odd = (None, -1, 2**63, float("nan"), 1e308, "", "x" * 3000, b"\xff" * 50, [], {}, [[[]]], [1e9] * 8, True)
    if rng.random() < 0.5:
        key = list(message)[rng.integers(0, len(message))]
        if key != "session":
            message = {**message, key: odd[rng.integers(0, len(odd))]}
        return msgpack.packb(message)
    data = bytearray(msgpack.packb(message))
    for at in rng.integers(0, len(data), rng.integers(1, 5)):
        data[at] = rng.integers(0, 256)
    cut = int(rng.integers(1, len(data) + 1))
    return bytes(data[:cut] if rng.random() < 0.3 else data + data[cut:] if rng.random() < 0.3 else data)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_10000_mutated_messages_leave_a_bridge_alive_with_flat_memory() -> None:
    process, address = bridge_process("--bind", "tcp://127.0.0.1:*", "--env", "tests.fakes.droid_env:make")
    talker, rng, memory = Talker(address), np.random.default_rng(0), []
    try:
        for k in range(10_000):
            if k % 500 == 0:
                assert talker.hello()["ok"]
                assert talker.ask("observe")["ok"]
                memory.append(psutil.Process(process.pid).memory_info().rss / 2**20)
            base = {
                "id": k,
                "session": talker.session,
                "op": ("state", "observe", "step", "hold", "hello", "reset")[k % 6],
            }
            step = {
                "kind": "joint_velocity",
                "action": [0.1] * 8,
                "based_on": k,
                "token": "",
                "have": {"left": 1},
                "epoch": k % 9,
            }
            answer = talker.raw(mutated({**base, **step}, rng))
            assert answer["ok"] in (True, False)
            assert answer["ok"] or (answer["code"] and answer["code"] != "robot"), answer
        assert talker.ask("ping")["ok"]
        assert memory[-1] - memory[4] < 8, memory
    finally:
        talker.close()
        end(process)


def test_nonsense_is_answered_and_never_ends_the_bridge(served) -> None:
    _, env, talker = served
    rng = np.random.default_rng(0)
    honest = msgpack.packb({"id": 1, "session": None, "op": "step", "kind": "joint_velocity", "action": STILL})
    for _ in range(300):
        data = bytearray(honest)
        for at in rng.integers(0, len(data), 3):
            data[at] = rng.integers(0, 256)
        assert talker.raw(bytes(data[: rng.integers(1, len(data) + 1)]))["ok"] is False
    assert talker.raw(b"a", b"b")["code"] == "malformed"
    assert talker.raw(msgpack.packb([1, 2]))["code"] == "malformed"
    assert talker.hello(image={"width": -1})["code"] == "bad_request"
    assert talker.hello()["ok"]
    for op in (None, 3, "dance", ["x"]):
        assert talker.ask(op)["code"] == "bad_request"
    assert talker.ask("observe", have=5)["code"] == "bad_request"
    assert talker.raw(msgpack.packb({"id": {5: 6}, "op": "ping"}))["id"] is None
    assert env.robot.commands == []
