"""The policy server as its clients meet it: openpi's protocol, operations, tokens, limits, bad company."""

import http.client
import json
import logging
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as ws_connect

from frs_core.errors import ConfigError, ServingError
from frs_core.serving.server import MAX_CONTEXTS, PolicyService, build_server
from frs_core.serving.websocket_server import Contexts, ServerSettings, WebsocketServer
from frs_core.wire.codec import pack, unpack
from frs_core.wire.metadata import build_metadata
from frs_core.wire.observations import blank_droid_message, pack_observation
from tests.fakes.certificate import make_certificate
from tests.fakes.openpi_server import wire_default, wire_hook
from tests.fakes.policy import ToyPolicy
from tests.fakes.slow_policy import GatedPolicy
from tests.fakes.world import PointWorld
from tests.waiting import LONG_S

TOKEN = "0123456789abcdef-secret"


def connect(server: WebsocketServer, **options: Any) -> ClientConnection:
    """Connect as openpi's client does and return the open socket."""
    options = {"compression": None, "max_size": None, "open_timeout": 5, "close_timeout": 1, "proxy": None} | options
    scheme = "wss" if "ssl" in options else "ws"
    return ws_connect(f"{scheme}://127.0.0.1:{server.port}", **options).__enter__()


def ask(client: ClientConnection, message: dict[str, Any]) -> dict[str, Any]:
    client.send(pack(message))
    data = client.recv(timeout=LONG_S)
    assert isinstance(data, bytes), data
    return unpack(data)


@pytest.fixture
def gated() -> Iterator[GatedPolicy]:
    policy = GatedPolicy()
    yield policy
    policy.gate.set()


@pytest.fixture
def server() -> Iterator[WebsocketServer]:
    with build_server(ToyPolicy(), ServerSettings(port=0)).running() as server:
        yield server


@pytest.fixture
def client(server: WebsocketServer) -> Iterator[ClientConnection]:
    with connect(server) as client:
        client.recv(timeout=LONG_S)
        yield client


@pytest.fixture
def observation() -> dict[str, Any]:
    return pack_observation(PointWorld().observe(), cameras=("left", "right", "wrist"))


def steer_message(policy: ToyPolicy, **rest: Any) -> dict[str, Any]:
    spec = policy.spec
    reference = np.zeros((3, spec.horizon, spec.width), dtype=np.float32)
    reference[:, :, 1] = 1.0
    commanded = np.zeros((3, spec.width), dtype=bool)
    commanded[:, :3] = True
    plan = json.dumps(policy.default_plan.to_json())
    return {"op": "steer", "reference": reference, "commanded": commanded, "plan": plan} | rest


def test_a_stock_openpi_droid_client_gets_metadata_and_actions(server: WebsocketServer) -> None:
    rng = np.random.default_rng(0)
    observation = {
        "observation/exterior_image_1_left": rng.integers(0, 256, (224, 224, 3), dtype=np.uint8),
        "observation/wrist_image_left": rng.integers(0, 256, (224, 224, 3), dtype=np.uint8),
        "observation/joint_position": np.array([0.0, -0.6, 0.0, -2.5, 0.0, 1.9, 0.0]),
        "observation/gripper_position": np.array([0.3]),
        "prompt": "put the cube on the plate",
    }
    with connect(server) as client:
        assert isinstance(msgpack.unpackb(client.recv(timeout=LONG_S), object_hook=wire_hook), dict)
        chunks = []
        for _ in range(3):
            client.send(msgpack.packb(observation, default=wire_default))
            data = client.recv(timeout=LONG_S)
            assert isinstance(data, bytes)
            reply = msgpack.unpackb(data, object_hook=wire_hook)
            assert reply["actions"].shape == (8, 7)
            assert np.isfinite(reply["actions"]).all()
            assert reply["server_timing"]["infer_ms"] > 0
            chunks.append(reply["actions"])
    assert not np.array_equal(chunks[0], chunks[1])


def test_a_stock_client_that_brings_noise_gets_the_same_chunk_again(client: ClientConnection) -> None:
    noise = np.random.default_rng(0).normal(size=(8, 7)).astype(np.float32)
    first, second = (ask(client, blank_droid_message() | {"noise": noise})["actions"] for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("noise", [np.zeros((3, 3), np.float32), np.zeros((2, 8, 7), np.float32), [1.0], "x", {}])
def test_noise_of_another_shape_is_refused_by_name(client: ClientConnection, noise: object) -> None:
    client.send(pack(blank_droid_message() | {"noise": noise}))
    answer = client.recv(LONG_S)
    assert isinstance(answer, str)
    assert answer.startswith("MalformedMessage: `noise` is ")
    assert "expected floats [8, 7]" in answer


def test_an_error_reaches_a_stock_client_as_text_and_the_connection_survives(client: ClientConnection) -> None:
    message = blank_droid_message()
    del message["prompt"]
    client.send(pack(message))
    text = client.recv(timeout=LONG_S)
    assert isinstance(text, str)
    assert "prompt" in text
    assert "Traceback" not in text
    assert "actions" in ask(client, blank_droid_message())


def test_metadata_describes_the_policy(server: WebsocketServer) -> None:
    policy = ToyPolicy()
    with connect(server) as client:
        data = client.recv(timeout=LONG_S)
        assert isinstance(data, bytes)
        assert pack(unpack(data)) == pack(build_metadata(policy.spec, policy.default_plan))


def test_every_operation_answers_with_its_own_id(client: ClientConnection, observation: dict[str, Any]) -> None:
    policy = ToyPolicy()
    encoded = ask(client, {"op": "encode", "id": "first", "observation": observation})
    assert encoded["id"] == "first"
    assert encoded["features"].shape == (8,)
    context = encoded["context"]
    steered = ask(client, steer_message(policy, context=context, id=2))
    assert steered["id"] == 2
    assert steered["noise"].shape == steered["chunk"].shape == steered["recovered"].shape == (3, 8, 7)
    again = ask(client, {"op": "denoise", "id": 3, "context": context, "noise": steered["noise"]})
    np.testing.assert_allclose(again["chunk"], steered["chunk"], atol=1e-6)
    v = ask(client, {"op": "velocity", "id": 4, "context": context, "x": steered["noise"], "t": 0.5})
    assert v["v"].shape == (3, 8, 7)
    assert ask(client, {"op": "release", "id": 5, "context": context})["released"] is True
    assert ask(client, steer_message(policy, context=context, id=6))["error"]["type"] == "ContextGone"


def test_a_whole_fan_from_a_fresh_picture_is_one_message(client: ClientConnection, observation: dict[str, Any]) -> None:
    reply = ask(client, steer_message(ToyPolicy(), observation=observation))
    assert reply["chunk"].shape == (3, 8, 7)
    assert ask(client, steer_message(ToyPolicy(), context=reply["context"]))["chunk"].shape == (3, 8, 7)


def test_a_connection_keeps_a_few_contexts_and_says_when_one_is_gone(
    client: ClientConnection, observation: dict[str, Any]
) -> None:
    handles = [ask(client, {"op": "encode", "observation": observation})["context"] for _ in range(MAX_CONTEXTS + 1)]
    assert ask(client, steer_message(ToyPolicy(), context=handles[0]))["error"]["type"] == "ContextGone"
    for handle in handles[1:]:
        assert "chunk" in ask(client, steer_message(ToyPolicy(), context=handle))


def test_a_context_is_of_no_use_on_another_connection(
    client: ClientConnection, server: WebsocketServer, observation: dict[str, Any]
) -> None:
    handle = ask(client, {"op": "encode", "observation": observation})["context"]
    with connect(server) as other:
        other.recv(timeout=LONG_S)
        assert ask(other, steer_message(ToyPolicy(), context=handle))["error"]["type"] == "ContextGone"


_BAD_PLAN = {"steps": "ten"}


@pytest.mark.parametrize(
    "change",
    [
        {"op": "dance"},
        {"op": 7},
        {"op": "steer", "reference": None},
        {"op": "steer", "reference": np.zeros((1, 9, 7), dtype=np.float32)},
        {"op": "steer", "reference": np.zeros((65, 8, 7), dtype=np.float32)},
        {"op": "steer", "reference": np.full((3, 8, 7), np.nan, dtype=np.float32)},
        {"op": "steer", "reference": np.full((3, 8, 7), 1e300)},
        {"op": "steer", "commanded": np.zeros((2, 7), dtype=bool)},
        {"op": "steer", "plan": "{"},
        {"op": "steer", "plan": "[" * 5000},
        {"op": "steer", "plan": json.dumps(_BAD_PLAN)},
        {"op": "steer", "plan": json.dumps({"steps": 10**9})},
        {"op": "steer", "plan": json.dumps({"samples": 10**9, "method": "sample_and_rank"})},
        {"op": "steer", "plan": json.dumps({"solver": "fixed_point", "iterations": 10**6})},
        {"op": "steer", "plan": json.dumps({"noising_time": "x"})},
        {"op": "steer", "plan": '{"fill_scale": NaN}'},
        {"op": "steer", "plan": '{"seed": -1}'},
        {"op": "steer", "plan": '{"colour": "red"}'},
        {"op": "denoise", "noise": np.zeros((1, 8, 7), dtype=np.float32), "steps": 10**9},
        {"op": "denoise", "noise": np.zeros((1, 8, 7), dtype=np.int32)},
        {"op": "velocity", "x": np.zeros((1, 8, 7), dtype=np.float32), "t": 1.5},
        {"op": "encode", "observation": {"frames": {}}},
        {"op": "encode", "observation": "picture"},
    ],
)
def test_a_nonsensical_request_is_answered_with_an_error_and_nothing_else_happens(
    client: ClientConnection, observation: dict[str, Any], change: dict[str, Any]
) -> None:
    handle = ask(client, {"op": "encode", "observation": observation})["context"]
    message = steer_message(ToyPolicy(), context=handle, id=9) | change
    client.send(pack(message))
    answer = client.recv(timeout=LONG_S)
    if isinstance(answer, bytes):
        reply = unpack(answer)
        assert reply["id"] == 9
        assert reply["error"]["message"]
    else:
        assert "MalformedMessage" in answer
    assert "chunk" in ask(client, steer_message(ToyPolicy(), context=handle))


def test_a_text_frame_or_rubbish_is_answered_with_text(client: ClientConnection) -> None:
    for rubbish in ("hello", b"\xc1\xc1", pack([1, 2]), pack({"id": [1]}), pack({"id": "x" * 100})):
        client.send(rubbish)
        assert isinstance(client.recv(timeout=LONG_S), str)
    assert "actions" in ask(client, blank_droid_message())


def test_a_message_over_the_limit_costs_its_sender_the_connection_and_no_one_else() -> None:
    settings = ServerSettings(port=0, message_bytes=400_000)
    with build_server(ToyPolicy(), settings).running() as server, connect(server) as greedy, connect(server) as modest:
        greedy.recv(timeout=LONG_S)
        modest.recv(timeout=LONG_S)
        greedy.send(b"\0" * 500_000)
        with pytest.raises(ConnectionClosed) as closed:
            greedy.recv(timeout=LONG_S)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
        assert "actions" in ask(modest, blank_droid_message())


def test_all_inference_runs_on_one_thread(observation: dict[str, Any]) -> None:
    policy = GatedPolicy(is_open=True)
    with build_server(policy, ServerSettings(port=0)).running() as server:
        clients = [connect(server) for _ in range(3)]
        for client in clients:
            client.recv(timeout=LONG_S)
            ask(client, steer_message(policy, observation=observation))
        for client in clients:
            client.close()
    assert len(policy.threads) == 1
    assert threading.get_ident() not in policy.threads


def test_a_request_can_be_cancelled_while_it_waits_for_its_turn(
    gated: GatedPolicy, observation: dict[str, Any]
) -> None:
    with build_server(gated, ServerSettings(port=0)).running() as server, connect(server) as client:
        client.recv(timeout=LONG_S)
        client.send(pack(steer_message(gated, id=1, observation=observation)))
        assert gated.entered.wait(LONG_S)
        client.send(pack(steer_message(gated, id=2, observation=observation)))
        encoded = gated.encoded
        client.send(pack({"op": "cancel", "id": 3, "target": 2}))
        replies = [unpack(client.recv(timeout=LONG_S)) for _ in range(2)]  # pyright: ignore[reportArgumentType]
        by_id = {reply["id"]: reply for reply in replies}
        assert by_id[2]["error"]["type"] == "Cancelled"
        assert by_id[3]["cancelled"] == 1
        gated.gate.set()
        assert unpack(client.recv(timeout=LONG_S))["id"] == 1  # pyright: ignore[reportArgumentType]
        assert gated.encoded == encoded


def test_too_many_unanswered_requests_are_refused_not_queued(gated: GatedPolicy, observation: dict[str, Any]) -> None:
    with build_server(gated, ServerSettings(port=0, in_flight=2)).running() as server, connect(server) as client:
        client.recv(timeout=LONG_S)
        for name in range(3):
            client.send(pack(steer_message(gated, id=name, observation=observation)))
        refused = unpack(client.recv(timeout=LONG_S))  # pyright: ignore[reportArgumentType]
        assert refused["id"] == 2
        assert refused["error"]["type"] == "ServerBusy"
        gated.gate.set()
        assert {unpack(client.recv(timeout=LONG_S))["id"] for _ in range(2)} == {0, 1}  # pyright: ignore[reportArgumentType]


def test_clients_that_stall_in_every_way_do_not_stall_others(observation: dict[str, Any]) -> None:
    with build_server(ToyPolicy(), ServerSettings(port=0, send_timeout_s=0.5)).running() as server:
        address = ("127.0.0.1", server.port)
        silent = socket.create_connection(address)  # never says a word
        half = socket.create_connection(address)
        half.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: web")  # stops in the middle of the handshake
        unfinished = connect(server)
        unfinished.socket.sendall(
            b"\x82\xff" + (10_000_000).to_bytes(8) + b"mask" + b"\0" * 1000
        )  # a frame without end
        deaf = connect(server, max_queue=1)
        big = np.zeros((64, 8, 7), dtype=np.float32)
        deaf.recv(timeout=LONG_S)
        flood = pack({"op": "velocity", "observation": observation, "x": big, "t": 0.5})
        deaf.socket.settimeout(0.5)

        def ask_and_never_read() -> None:
            deadline = time.monotonic() + LONG_S
            while time.monotonic() < deadline:
                deaf.send(flood)

        with pytest.raises((ConnectionClosed, TimeoutError)):
            ask_and_never_read()
        with connect(server) as polite:
            polite.recv(timeout=LONG_S)
            for _ in range(5):
                assert "chunk" in ask(polite, steer_message(ToyPolicy(), observation=observation))
        for other in (silent, half, unfinished.socket, deaf.socket):
            other.close()


def test_a_request_whose_client_has_left_is_not_computed(gated: GatedPolicy, observation: dict[str, Any]) -> None:
    with build_server(gated, ServerSettings(port=0)).running() as server, connect(server) as stays:
        stays.recv(timeout=LONG_S)
        stays.send(pack(steer_message(gated, id=1, observation=observation)))
        assert gated.entered.wait(LONG_S)
        with connect(server) as leaves:
            leaves.recv(timeout=LONG_S)
            leaves.send(pack({"op": "encode", "id": 1, "observation": observation}))
            leaves.send(pack({"op": "cancel", "id": 2, "target": 99}))  # its answer tells that the first has arrived
            leaves.recv(timeout=LONG_S)
        deadline, pause = time.monotonic() + LONG_S, threading.Event()
        while server._seats > 1 and time.monotonic() < deadline:
            pause.wait(0.01)  # the server's side of the leaving
        gated.gate.set()
        assert unpack(stays.recv(timeout=LONG_S))["id"] == 1  # pyright: ignore[reportArgumentType]
        assert "features" in ask(stays, {"op": "encode", "observation": observation})
        assert gated.encoded == 2


def test_a_client_that_is_killed_in_the_middle_of_a_request_is_one_line_and_the_server_goes_on(
    gated: GatedPolicy, observation: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    code = (
        "import sys; from websockets.sync.client import connect; c = connect(sys.argv[1], proxy=None, max_size=None).__enter__();"
        "c.recv(); c.send(sys.stdin.buffer.read()); c.recv()"
    )
    with build_server(gated, ServerSettings(port=0)).running() as server:
        words = [sys.executable, "-c", code, f"ws://127.0.0.1:{server.port}"]
        client = subprocess.Popen(words, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert client.stdin is not None
        with client.stdin as pipe:
            pipe.write(pack(steer_message(gated, id=1, observation=observation)))
        assert gated.entered.wait(LONG_S)
        client.kill()
        client.wait(LONG_S)
        deadline, pause = time.monotonic() + LONG_S, threading.Event()
        while server._seats > 0 and time.monotonic() < deadline:
            pause.wait(0.01)
        gated.gate.set()
        with connect(server) as other:
            other.recv(timeout=LONG_S)
            assert "chunk" in ask(other, steer_message(gated, observation=observation))
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 1, said
    assert said[0].endswith("left before 1 of its requests was answered")
    assert not caplog.records[0].exc_info


def _get(server: WebsocketServer, path: str, **headers: str) -> tuple[int, str]:
    link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    link.request("GET", path, headers=headers)
    answer = link.getresponse()
    text = answer.read().decode()
    link.close()
    return answer.status, text


def test_healthz_is_ok_and_needs_no_token() -> None:
    with build_server(ToyPolicy(), ServerSettings(port=0, token=TOKEN)).running() as server:
        assert _get(server, "/healthz") == (200, "OK\n")


def test_healthz_turns_red_when_an_inference_does_not_end(gated: GatedPolicy, observation: dict[str, Any]) -> None:
    with build_server(gated, ServerSettings(port=0, stall_s=0.0)).running() as server, connect(server) as client:
        client.recv(timeout=LONG_S)
        client.send(pack(steer_message(gated, observation=observation)))
        assert gated.entered.wait(LONG_S)
        status, text = _get(server, "/healthz")
        assert status == 503
        assert "inference has been running" in text
        gated.gate.set()
        client.recv(timeout=LONG_S)
        assert _get(server, "/healthz") == (200, "OK\n")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        TOKEN,
        "Bearer",
        "Bearer wrong",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        "Bearer \u00ff",
    ],
)
def test_without_the_right_token_nobody_gets_in(header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    with build_server(ToyPolicy(), ServerSettings(port=0, token=TOKEN)).running() as server:
        with pytest.raises(InvalidStatus) as refused:
            connect(server, additional_headers=headers)
        assert refused.value.response.status_code in (400, 401)
        assert TOKEN not in str(refused.value.response.body)


@pytest.mark.parametrize("scheme", ["Bearer", "Api-Key", "bearer"])
def test_the_right_token_opens_in_our_and_in_openpis_spelling(scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {TOKEN}"}
    built = build_server(ToyPolicy(), ServerSettings(port=0, token=TOKEN))
    with built.running() as server, connect(server, additional_headers=headers) as client:
        client.recv(timeout=LONG_S)
        assert "actions" in ask(client, blank_droid_message())


def test_a_web_page_cannot_talk_to_a_server_on_loopback(server: WebsocketServer) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(server, origin="https://evil.example")
    assert refused.value.response.status_code == 403
    assert b"Origin https://evil.example is not served" in refused.value.response.body
    with pytest.raises(InvalidStatus) as unnamed:
        connect(server, origin="")
    assert b"Origin '' is not served" in unnamed.value.response.body


def test_an_ordinary_client_that_names_the_server_itself_as_origin_is_served(server: WebsocketServer) -> None:
    with connect(server, origin=f"http://127.0.0.1:{server.port}") as client:
        client.recv(timeout=LONG_S)
        assert "actions" in ask(client, blank_droid_message())


def test_a_page_whose_own_name_leads_here_is_refused(server: WebsocketServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        name = f"evil.example:{server.port}"
        lines = [
            "GET / HTTP/1.1",
            f"Host: {name}",
            f"Origin: http://{name}",
            "Upgrade: websocket",
            "Connection: Upgrade",
        ]
        lines += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13", "", ""]
        raw.sendall("\r\n".join(lines).encode())
        assert b" 403 " in raw.recv(4096).split(b"\r\n")[0]


def test_more_connections_than_allowed_are_refused() -> None:
    with build_server(ToyPolicy(), ServerSettings(port=0, connections=1)).running() as server, connect(server) as first:
        first.recv(timeout=LONG_S)
        with pytest.raises(InvalidStatus) as refused:
            connect(server)
        assert refused.value.response.status_code == 503


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.20", "::", "gpu-box", ""])
def test_other_addresses_than_loopback_need_a_token(host: str) -> None:
    with pytest.raises(ConfigError, match="token"):
        ServerSettings(host=host)
    assert ServerSettings(host=host, token=TOKEN).token == TOKEN


def test_a_short_token_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 16"):
        ServerSettings(token="hunter2")


def test_a_taken_port_is_reported_with_the_fix(server: WebsocketServer) -> None:
    second = build_server(ToyPolicy(), ServerSettings(port=server.port))
    with pytest.raises(ServingError, match="Choose another port"), second.running():
        pass


def test_with_a_certificate_the_server_speaks_tls(tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path)
    settings = ServerSettings(port=0, tls_cert=cert, tls_key=key)
    with build_server(ToyPolicy(), settings).running() as server:
        with connect(server, ssl=ssl.create_default_context(cafile=str(cert))) as client:
            client.recv(timeout=LONG_S)
            assert "actions" in ask(client, blank_droid_message())
        with pytest.raises(ssl.SSLError):
            connect(server, ssl=ssl.create_default_context())


def test_a_certificate_or_key_that_cannot_be_used_is_named_before_anything_is_loaded(tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path)
    _, other = make_certificate(tmp_path, name="other-")
    _, locked = make_certificate(tmp_path, name="locked-", password="secret")
    cut = tmp_path / "cut.pem"
    cut.write_bytes(cert.read_bytes()[:200])
    for files, told in (
        ((tmp_path / "gone.pem", key), rf"certificate '{tmp_path}/gone.pem' cannot be read: No such file"),
        ((cert, tmp_path), rf"private key '{tmp_path}' cannot be read: it is no file"),
        ((key, cert), rf"'{key}' holds no certificate in PEM format"),
        ((cert, cert), rf"'{cert}' holds no private key in PEM format"),
        ((cert, other), rf"'{other}' is not the key of the certificate '{cert}'"),
        ((cert, locked), rf"private key '{locked}' needs a password"),
        ((cut, key), rf"Certificate '{cut}' and key '{key}' cannot be used"),
    ):
        with pytest.raises(ConfigError, match=told):
            ServerSettings(tls_cert=files[0], tls_key=files[1])


@pytest.mark.parametrize(
    ("host", "way_out"),
    [
        ("127.0.0.1:8000", "--host 127.0.0.1 --port 8000"),
        ("ws://gpu-box:9000", "--host gpu-box --port 9000"),
        ("[::1]:8001", "--host ::1 --port 8001"),
        ("[::1]", "--host 127.0.0.1 --port 8000"),
        ("gpu box", "--host 127.0.0.1 --port 8000"),
    ],
)
def test_a_host_to_listen_on_that_is_more_than_one_is_refused_with_the_way_out(host: str, way_out: str) -> None:
    with pytest.raises(
        ConfigError, match=f"'{re.escape(host)}' is no host to listen on.* Write: {re.escape(way_out)}$"
    ):
        ServerSettings(host=host, token=TOKEN)


def test_what_a_client_sends_and_nothing_reads_is_said_once_by_name(
    server: WebsocketServer, observation: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="frs.serving")
    more = blank_droid_message() | {"observation/cartesian_position": np.zeros(6), "observation/depth": np.zeros(2)}
    for _ in range(2):
        with connect(server) as client:
            client.recv(timeout=LONG_S)
            assert "actions" in ask(client, more)
            assert "context" in ask(client, {"op": "encode", "observation": observation | {"force": 1.0}})
    assert [record.getMessage() for record in caplog.records] == [
        "Left out of a client's observation, because nothing reads it: observation/cartesian_position, observation/depth (2)",
        "Left out of a client's observation, because nothing reads it: force (1)",
    ]


def test_warming_up_runs_every_part_once_before_the_first_client() -> None:
    policy = GatedPolicy(is_open=True)
    PolicyService(policy).warm_up()
    assert policy.encoded == 1
    assert policy.entered.is_set()


def test_one_exterior_picture_is_not_shown_twice() -> None:
    policy = ToyPolicy(cameras=("left", "right", "wrist"))
    pairing = (("exterior_1_left", "left"), ("exterior_2_left", "right"), ("wrist_left", "wrist"))
    policy.spec = replace(policy.spec, camera_pairing=pairing)
    service = PolicyService(policy)
    service.warm_up()
    with pytest.raises(ConfigError, match=r"one exterior image, policy 'toy' looks at left, right"):
        service.handle(blank_droid_message(), Contexts())


def test_a_camera_whose_name_does_not_tell_where_it_is_gets_no_picture_by_guess() -> None:
    policy = ToyPolicy(cameras=("wristband_cam", "wrist"))
    policy.spec = replace(policy.spec, camera_pairing=(("base_0_rgb", "wristband_cam"), ("wrist_left", "wrist")))
    service = PolicyService(policy)
    with pytest.raises(ConfigError, match="name of camera wristband_cam of policy 'toy' does not tell"):
        service.handle(blank_droid_message(), Contexts())
