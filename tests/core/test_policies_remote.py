"""The remote policy: equal to the local one, and calm when the server is slow, gone, restarted or stock."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from frs_core.errors import (
    ConfigError,
    FingerprintMismatch,
    PolicyError,
    PolicyTimeout,
    ServingError,
    ShapeMismatch,
    SteeringUnavailable,
)
from frs_core.policies import in_action_space, remote
from frs_core.policies.remote import RemotePolicy, StockPolicy
from frs_core.robot.actions import ActionKind
from frs_core.robot.observation import Observation
from frs_core.serving.server import MAX_CONTEXTS, build_server
from frs_core.serving.websocket_server import ServerSettings
from frs_core.steering.directions import fan_commands, reference_chunk
from frs_core.steering.methods import Method, Reference, SteeringPlan, gaussian
from frs_core.wire import client
from frs_core.wire.codec import pack, unpack
from frs_core.wire.observations import blank_droid_message
from tests.fakes.openpi_server import droid_infer, stock_server
from tests.fakes.policy import ToyPolicy
from tests.fakes.slow_policy import GatedPolicy
from tests.fakes.world import PointWorld
from tests.waiting import LONG_S

TOKEN = "0123456789abcdef-secret"


@pytest.fixture
def observation() -> Observation:
    return PointWorld().observe()


@pytest.fixture
def gated() -> Iterator[GatedPolicy]:
    policy = GatedPolicy()
    yield policy
    policy.gate.set()


def fan(policy: ToyPolicy | RemotePolicy, observation: Observation) -> Reference:
    rows = [
        reference_chunk(c, policy.spec.action_space, horizon=policy.spec.horizon, observation=observation)
        for c in fan_commands()
    ]
    x = np.zeros((len(rows), policy.spec.horizon, policy.spec.width), dtype=np.float32)
    commanded = np.zeros((len(rows), policy.spec.width), dtype=bool)
    for k, (chunk, mask) in enumerate(rows):
        x[k, :, : chunk.shape[1]], commanded[k, : mask.size] = chunk, mask
    return Reference(torch.from_numpy(x), torch.from_numpy(commanded))


@pytest.mark.parametrize("plan", [None, SteeringPlan(depth=6), SteeringPlan(method=Method.SAMPLE_AND_RANK)])
def test_a_remote_policy_gives_bit_for_bit_what_the_local_one_gives(
    observation: Observation, plan: SteeringPlan | None
) -> None:
    local = ToyPolicy()
    reference, plan = fan(local, observation), plan or local.default_plan
    with build_server(ToyPolicy(), ServerSettings(port=0)).running() as server:
        policy = remote.load(f"ws://127.0.0.1:{server.port}")
        assert repr(policy.spec) == repr(local.spec)
        assert policy.default_plan == local.default_plan
        ours, theirs = local.encode(observation), policy.encode(observation)
        np.testing.assert_array_equal(ours.features, theirs.features)
        assert theirs.captured_ns == observation.captured_ns
        expected, got = local.steer(ours, reference, plan), policy.steer(theirs, reference, plan)
        for name in ("noise", "chunk", "recovered"):
            torch.testing.assert_close(getattr(got, name), getattr(expected, name), rtol=0, atol=0, equal_nan=True)
        noise = gaussian((2, 8, 7), seed=3)
        torch.testing.assert_close(policy.denoise(theirs, noise), local.denoise(ours, noise), rtol=0, atol=0)
        torch.testing.assert_close(
            policy.denoise(theirs, noise, steps=4), local.denoise(ours, noise, steps=4), rtol=0, atol=0
        )
        torch.testing.assert_close(
            policy.velocity(theirs, noise, 0.3), local.velocity(ours, noise, 0.3), rtol=0, atol=0
        )
        assert policy.last_timing["round_trip_ms"] > policy.last_timing["infer_ms"]
        policy.close()
        policy.close()


def test_a_policy_served_in_joints_steers_as_the_local_one_and_answers_openpis_clients_in_joints(
    observation: Observation,
) -> None:
    local = in_action_space(ToyPolicy(), ActionKind.JOINT_VELOCITY)
    rows = [reference_chunk(c, local.spec.flow, horizon=8, observation=observation)[0] for c in fan_commands()]
    reference = Reference(torch.from_numpy(np.stack(rows)).float(), torch.ones(len(rows), 7, dtype=torch.bool))
    with build_server(
        in_action_space(ToyPolicy(), ActionKind.JOINT_VELOCITY), ServerSettings(port=0)
    ).running() as server:
        policy = remote.load(f"ws://127.0.0.1:{server.port}")
        assert repr(policy.spec) == repr(local.spec)
        steered = policy.steer(policy.encode(observation), reference, policy.default_plan)
        expected = local.steer(local.encode(observation), reference, local.default_plan)
        torch.testing.assert_close(steered.chunk, expected.chunk, rtol=0, atol=0)
        joints = policy.to_robot(steered.chunk, observation)
        assert joints.shape == (len(rows), 8, 8)
        np.testing.assert_array_equal(joints, local.to_robot(expected.chunk, observation))
        with connect(f"ws://127.0.0.1:{server.port}", compression=None, proxy=None) as client:
            client.recv(timeout=LONG_S)
            client.send(pack(blank_droid_message()))
            assert unpack(client.recv(timeout=LONG_S))["actions"].shape == (8, 8)
        policy.close()


def test_shapes_are_checked_before_anything_is_sent(observation: Observation) -> None:
    with build_server(ToyPolicy(), ServerSettings(port=0)).running() as server:
        policy = remote.load(f"ws://127.0.0.1:{server.port}")
        context = policy.encode(observation)
        with pytest.raises(ShapeMismatch):
            policy.denoise(context, torch.zeros(1, 9, 7))
        policy.close()


def test_a_context_the_server_has_dropped_is_encoded_again_without_a_word(observation: Observation) -> None:
    served = GatedPolicy(is_open=True)
    with build_server(served, ServerSettings(port=0)).running() as server:
        policy = remote.load(f"ws://127.0.0.1:{server.port}")
        oldest = policy.encode(observation)
        for _ in range(MAX_CONTEXTS):
            policy.encode(observation)
        reference = fan(policy, observation)
        assert policy.steer(oldest, reference, policy.default_plan).chunk.shape == reference.x.shape
        assert served.encoded == MAX_CONTEXTS + 2
        policy.steer(oldest, reference, policy.default_plan)
        assert served.encoded == MAX_CONTEXTS + 2
        policy.close()


def test_a_server_error_arrives_as_the_same_error(observation: Observation) -> None:
    with build_server(ToyPolicy(), ServerSettings(port=0)).running() as server:
        policy = remote.load(f"ws://127.0.0.1:{server.port}")
        context = policy.encode(observation)
        reference = fan(policy, observation)
        with pytest.raises(ServingError, match="velocity rows"):
            policy.steer(context, reference, SteeringPlan(steps=100_000))
        bad = Reference(torch.full_like(reference.x, 1e30), reference.commanded)
        with pytest.raises(PolicyError, match="non-finite"):
            policy.steer(context, bad, SteeringPlan())
        assert policy.is_connected
        policy.close()


def test_no_answer_in_time_is_a_timeout_and_the_late_answer_is_dropped(
    gated: GatedPolicy, observation: Observation
) -> None:
    with build_server(gated, ServerSettings(port=0)).running() as server:
        policy = remote.load(f"ws://127.0.0.1:{server.port}", answer_timeout_s=0.3)
        context, reference = policy.encode(observation), fan(policy, observation)
        with pytest.raises(PolicyTimeout, match=r"0\.3 s"):
            policy.steer(context, reference, policy.default_plan)
        gated.gate.set()  # the answer to the first request comes late, before the one to the second
        noise = gaussian((1, 8, 7), seed=0)
        local = ToyPolicy()
        expected = local.denoise(local.encode(observation), noise)
        torch.testing.assert_close(policy.denoise(context, noise), expected, rtol=0, atol=0)
        policy.close()


def test_a_waiting_request_can_be_cancelled_from_another_thread(gated: GatedPolicy, observation: Observation) -> None:
    with build_server(gated, ServerSettings(port=0)).running() as server:
        policy = remote.load(f"ws://127.0.0.1:{server.port}", answer_timeout_s=LONG_S)
        context, reference = policy.encode(observation), fan(policy, observation)

        def give_up() -> None:
            assert gated.entered.wait(LONG_S)
            policy.cancel()

        thread = threading.Thread(target=give_up)
        thread.start()
        with pytest.raises(PolicyError, match="cancelled"):
            policy.steer(context, reference, policy.default_plan)
        thread.join(LONG_S)
        gated.gate.set()
        assert policy.steer(context, reference, policy.default_plan).chunk.shape == reference.x.shape
        policy.close()


class ServerProcess:
    """A toy server in a process of its own, which can be killed."""

    def __init__(self, *, port: int = 0, is_open: bool) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.slow_policy", str(port), "open" if is_open else "shut"],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert self.process.stdout is not None
        self.lines = self.process.stdout
        self.port = int(self.lines.readline())

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(LONG_S)
        self.lines.close()


def test_a_server_killed_in_mid_request_is_an_error_and_its_successor_is_used(observation: Observation) -> None:
    first = ServerProcess(is_open=False)
    policy = remote.load(f"ws://127.0.0.1:{first.port}", answer_timeout_s=LONG_S)
    try:
        context, reference = policy.encode(observation), fan(policy, observation)

        def kill_when_busy() -> None:
            assert first.lines.readline() == "steering\n"
            first.kill()

        thread = threading.Thread(target=kill_when_busy)
        thread.start()
        with pytest.raises(ServingError, match="was lost"):
            policy.steer(context, reference, policy.default_plan)
        thread.join(LONG_S)
        assert not policy.is_connected
        with pytest.raises(ServingError, match="No policy server"):
            policy.steer(context, reference, policy.default_plan)
        with pytest.raises(ServingError, match="Trying again in"):
            policy.steer(context, reference, policy.default_plan)
        second = ServerProcess(port=first.port, is_open=True)  # takes longer to start than the back-off lasts
        try:
            local = ToyPolicy()
            expected = local.steer(local.encode(observation), reference, local.default_plan)
            got = policy.steer(context, reference, policy.default_plan)
            torch.testing.assert_close(got.chunk, expected.chunk)
        finally:
            second.kill()
    finally:
        policy.close()


def test_an_idle_connection_that_died_is_replaced_within_the_request(observation: Observation) -> None:
    server = build_server(ToyPolicy(), ServerSettings(port=0))
    with server.running():
        port = server.port
        policy = remote.load(f"ws://127.0.0.1:{port}")
        context, reference = policy.encode(observation), fan(policy, observation)
    with build_server(ToyPolicy(), ServerSettings(port=port)).running():
        assert policy.steer(context, reference, policy.default_plan).chunk.shape == reference.x.shape
        policy.close()


def test_a_server_that_comes_back_with_another_policy_is_refused(observation: Observation) -> None:
    server = build_server(ToyPolicy(), ServerSettings(port=0))
    with server.running():
        port = server.port
        policy = remote.load(f"ws://127.0.0.1:{port}")
    with build_server(ToyPolicy(fingerprint="toy-2"), ServerSettings(port=port)).running():
        with pytest.raises(FingerprintMismatch, match="toy-2"):
            policy.encode(observation)
        policy.close()


def test_the_token_opens_the_server_and_a_wrong_one_is_named(
    monkeypatch: pytest.MonkeyPatch, observation: Observation
) -> None:
    monkeypatch.delenv("FRS_TOKEN", raising=False)
    with build_server(ToyPolicy(), ServerSettings(port=0, token=TOKEN)).running() as server:
        url = f"ws://127.0.0.1:{server.port}"
        for wrong in (None, "wrong-wrong-wrong-wrong"):
            with pytest.raises(ServingError, match="refused the token"):
                remote.load(url, token=wrong)
        policy = remote.load(url, token=TOKEN)
        assert policy.encode(observation).features.shape == (8,)
        assert TOKEN not in repr(policy._client.settings)
        policy.close()
        monkeypatch.setenv("FRS_TOKEN", TOKEN)
        remote.load(url).close()


def test_an_address_without_a_server_says_how_to_start_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        port = taken.getsockname()[1]
        with pytest.raises(ServingError, match="frs serve"):
            remote.load(f"ws://127.0.0.1:{port}")


def test_a_server_that_never_answers_the_handshake_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(ServingError, match=r"0\.3 s"):
        remote.load(f"ws://127.0.0.1:{mute.getsockname()[1]}", connect_timeout_s=0.3)


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "http://127.0.0.1:8000", "ws://", ""])
def test_an_unusable_address_is_named(url: str) -> None:
    with pytest.raises(ConfigError, match="ws://host"):
        remote.load(url)


@pytest.mark.parametrize(
    "greeting",
    [
        b"\xc1",
        b"",
        "hello",
        pack({"frs": 3}),
        pack({"frs": {"protocol": 2}}),
        pack({"frs": {"protocol": 1, "observation": "frs/1"}}),
        pack({"frs": {"protocol": 1, "observation": "smell", "spec": {}}}),
        pack([1]),
    ],
)
def test_a_server_that_talks_nonsense_is_refused(greeting: bytes | str) -> None:
    def talk(link: ServerConnection) -> None:
        link.send(greeting)
        link.recv()

    with serve(talk, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        with pytest.raises(ServingError):
            remote.load(f"ws://127.0.0.1:{server.socket.getsockname()[1]}")
        server.shutdown()
        thread.join(LONG_S)


@pytest.mark.parametrize("horizon", [10, 15])
def test_a_stock_openpi_server_gives_unsteered_candidates_and_says_why_no_more(
    observation: Observation, horizon: int
) -> None:
    with stock_server(droid_infer(horizon), {"reset_pose": [0.0, 1.0]}) as url:
        policy = remote.load(url, exterior="right", wrist="wrist")
        assert isinstance(policy, StockPolicy)
        spec = policy.spec
        assert (spec.horizon, spec.width, spec.can_steer, spec.cameras) == (horizon, 8, False, ("right", "wrist"))
        assert spec.action_space.kind is ActionKind.JOINT_VELOCITY
        assert spec.execute_rows == 8
        assert "openpi" in spec.cannot_steer_reason
        context = policy.encode(observation)
        chunk = policy.denoise(context, gaussian((3, horizon, 8), seed=0))
        robot = policy.to_robot(chunk)
        assert robot.shape == (3, horizon, 8)
        assert not np.array_equal(robot[0], robot[1])
        assert (robot[..., 7] >= 0).all()
        expected = droid_infer(horizon)
        message = policy._message_of(observation)
        samples = [expected(message)["actions"] for _ in range(4)][1:]  # the first one was the probe's
        np.testing.assert_allclose(robot, np.stack(samples), atol=1e-6)
        reference = Reference(torch.zeros(1, horizon, 8), torch.zeros(1, 8, dtype=torch.bool))
        with pytest.raises(SteeringUnavailable, match="stock openpi server"):
            policy.steer(context, reference, SteeringPlan())
        with pytest.raises(SteeringUnavailable):
            policy.velocity(context, reference.x, 0.5)
        policy.close()


def test_a_stock_server_of_another_robot_is_refused() -> None:
    libero = stock_server(lambda observation: {"actions": np.zeros((10, 7))})
    with libero as url, pytest.raises(ConfigError, match="7 numbers"):
        remote.load(url)


def test_a_stock_server_whose_answer_contradicts_its_action_space_is_refused() -> None:
    at_rest = np.append(blank_droid_message()["observation/joint_position"], 0.0)
    with stock_server(lambda _: {"actions": np.tile(at_rest, (15, 1))}) as url:
        with pytest.raises(ConfigError, match=r"reach 2\.51.*action_space=joint_position"):
            remote.load(url)
        policy = remote.load(url, action_space="joint_position", exterior="right")
        assert policy.spec.action_space.kind is ActionKind.JOINT_POSITION
        assert policy.spec.camera_pairing == (("exterior_image_1_left", "right"), ("wrist_image_left", "wrist"))
        policy.close()
    still = stock_server(lambda _: {"actions": np.zeros((15, 8))})
    with still as url, pytest.raises(ConfigError, match=r"2\.51 rad from the joints"):
        remote.load(url, action_space="joint_position")


@pytest.mark.parametrize("key", ["action_space", "action_type"])
def test_the_action_space_that_a_stock_server_states_is_taken_or_contradicts(
    key: str, caplog: pytest.LogCaptureFixture
) -> None:
    at_rest = np.append(blank_droid_message()["observation/joint_position"], 0.0)
    at_zero = np.tile(np.append(at_rest[:7] * 0.3, 0.0), (15, 1))  # within what joint speeds may be
    roboarena = {"needs_wrist_camera": True, "needs_session_id": False, "n_external_cameras": 1}
    stated = {key: "joint_position", **roboarena, "image_resolution": [224, 224], "reset_pose": [0.0, 1.0]}
    with stock_server(lambda _: {"actions": np.tile(at_rest, (15, 1))}, stated) as url:
        policy = remote.load(url)
        assert policy.spec.action_space.kind is ActionKind.JOINT_POSITION
        policy.close()
        assert "reset_pose=[0.0, 1.0]" in caplog.text
        assert "needs" not in caplog.text
    with (
        stock_server(lambda _: {"actions": at_zero}, stated) as url,
        pytest.raises(ConfigError, match=f"states {key}=joint_position, but action_space=joint_velocity was given"),
    ):
        remote.load(url, action_space="joint_velocity")
    both = stated | {"action_mode": "joint_velocity"}
    with stock_server(lambda _: {"actions": at_zero}, both) as url, pytest.raises(ConfigError, match="action_mode"):
        remote.load(url)


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        (
            {"action_space": "cartesian_velocity"},
            "action_space=cartesian_velocity; openpi's DROID policies are read as",
        ),
        ({"action_space": None}, "action_space=None"),
        ({"action_space": "ee_delta"}, "action_space=ee_delta"),
        (
            {"needs_session_id": True, "image_resolution": (180, 320)},
            "needs_session_id=True, image_resolution=.180, 320.",
        ),
        ({"needs_stereo_camera": True}, "needs_stereo_camera=True"),
        ({"n_external_cameras": 2}, "n_external_cameras=2"),
    ],
)
def test_what_a_stock_server_states_that_it_needs_and_is_not_sent_is_refused_by_name(
    stated: dict[str, object], said: str
) -> None:
    with stock_server(droid_infer(), stated) as url, pytest.raises(ConfigError, match=said):
        remote.load(url)


def test_a_stock_server_that_is_replaced_by_one_of_another_action_space_is_refused() -> None:
    with stock_server(droid_infer()) as url:
        policy = remote.load(url)
        assert isinstance(policy, StockPolicy)
        policy._verify({"reset_pose": [0.0]})
        with pytest.raises(ConfigError, match="states action_space=joint_position, but action_space=joint_velocity"):
            policy._verify({"action_space": "joint_position"})
        policy.close()


@pytest.mark.parametrize(("value", "name"), [(np.nan, "NaN"), (np.inf, "infinity")])
def test_a_stock_server_that_gives_no_numbers_is_said_to(value: float, name: str, observation: Observation) -> None:
    actions = np.zeros((15, 8))
    bad = actions.copy()
    bad[3, 2] = value
    with stock_server(lambda _: {"actions": bad}) as url:
        with pytest.raises(ConfigError, match=f"gave {name} in 1 of 120 numbers, first in row 3, number 2") as caught:
            remote.load(url)
        assert "action_space" not in str(caught.value)
    answers = iter([actions, bad])
    with stock_server(lambda _: {"actions": next(answers)}) as url:
        policy = remote.load(url)
        with pytest.raises(PolicyError, match=f"gave {name} in 1 of 120 numbers"):
            policy.denoise(policy.encode(observation), gaussian((1, 15, 8), seed=0))
        policy.close()


def test_an_answer_over_the_limit_names_the_option_that_raises_it() -> None:
    large = {"actions": np.zeros((15, 8)), "extra": np.zeros(500_000, dtype=np.uint8)}
    with stock_server(lambda _: large) as url:  # noqa: SIM117
        with pytest.raises(ServingError, match=r"over this client's limit of 0\.4 MiB\. Raise it with message_bytes"):
            remote.load(url, message_bytes=400_000)
    with stock_server(droid_infer(), {"extra": "x" * 500_000}) as url:
        with pytest.raises(ServingError, match=r"limit of 0\.4 MiB\. Raise it with message_bytes"):
            remote.load(url, message_bytes=400_000)
        remote.load(url).close()


def test_cameras_that_a_server_would_not_be_sent_are_refused() -> None:
    server = build_server(ToyPolicy(), ServerSettings(port=0))
    with server.running(), pytest.raises(ConfigError, match="would have no effect"):
        remote.load(f"ws://127.0.0.1:{server.port}", exterior="right")


def test_a_stock_servers_error_is_shown_and_the_next_request_reconnects(observation: Observation) -> None:
    good, calls = droid_infer(), iter([True, False, True])

    def infer(message: dict[str, object]) -> dict[str, object]:
        if not next(calls):
            raise RuntimeError("out of memory")
        return good(message)

    with stock_server(infer) as url:
        policy = remote.load(url)
        context, noise = policy.encode(observation), gaussian((1, 15, 8), seed=0)
        with pytest.raises(PolicyError, match="out of memory"):
            policy.denoise(context, noise)
        assert policy.denoise(context, noise).shape == (1, 15, 8)
        policy.close()


def test_a_stock_servers_late_answer_is_not_taken_for_the_next(observation: Observation) -> None:
    gate, calls = threading.Event(), iter([0.0, 0.25, 0.75])

    def infer(message: dict[str, object]) -> dict[str, object]:
        value = next(calls)
        if value == 0.25:
            assert gate.wait(LONG_S)
        return {"actions": np.full((15, 8), value)}

    with stock_server(infer) as url:
        policy = remote.load(url, answer_timeout_s=0.3)
        context, noise = policy.encode(observation), gaussian((1, 15, 8), seed=0)
        with pytest.raises(PolicyTimeout):
            policy.denoise(context, noise)
        gate.set()
        assert float(policy.to_robot(policy.denoise(context, noise))[0, 0, 0]) == pytest.approx(0.75)
        policy.close()


def test_a_picture_over_the_limit_is_refused_here_with_the_fix(observation: Observation) -> None:
    with build_server(ToyPolicy(), ServerSettings(port=0)).running() as server:
        policy = remote.load(f"ws://127.0.0.1:{server.port}", message_bytes=20_000)
        with pytest.raises(ConfigError, match="smaller images"):
            policy.encode(observation)
        policy.close()


def test_whoever_hangs_up_before_the_first_word_is_no_policy_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def hung_up(*_: object, **__: object) -> None:
        raise ConnectionClosedError(None, None)

    monkeypatch.setattr(client, "connect", hung_up)
    with pytest.raises(ServingError, match=r"No policy server at ws://127\.0\.0\.1:9"):
        client.WireClient(client.ClientSettings("ws://127.0.0.1:9")).connect()


@pytest.mark.parametrize("gripper", [200.0, -1.0])
def test_a_stock_server_whose_gripper_is_no_share_is_refused(gripper: float, observation: Observation) -> None:
    actions = np.zeros((15, 8))
    actions[:, 7] = 1.04  # A policy overshoots a little.
    bad = actions.copy()
    bad[4, 7] = gripper
    with stock_server(lambda _: {"actions": bad}) as url, pytest.raises(ConfigError, match="gripper goes from"):
        remote.load(url)
    answers = iter([actions, bad])
    with stock_server(lambda _: {"actions": next(answers)}) as url:
        policy = remote.load(url)
        with pytest.raises(PolicyError, match=rf"gripper goes from .*{gripper:g}.*, expected 0 \(open\) to 1"):
            policy.denoise(policy.encode(observation), gaussian((1, 15, 8), seed=0))
        policy.close()
