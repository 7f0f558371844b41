"""Mutated messages against a server in a process of its own: each gets one clean answer, and memory stays flat.

500 messages by default; `pytest -m slow` runs 20,000.
"""

import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import psutil
import pytest
from websockets.sync.client import ClientConnection, connect

from frs_core.steering.methods import SteeringPlan
from frs_core.wire.codec import pack, unpack
from frs_core.wire.observations import blank_droid_message, pack_observation
from tests.fakes.openpi_server import wire_default
from tests.fakes.world import PointWorld
from tests.waiting import LONG_S

_CLEAN = {"MalformedMessage", "ContextGone", "ServerBusy", "ConfigError", "ShapeMismatch", "PolicyError", "Cancelled"}
"""Errors raised on purpose. Anything else is an accident that only the last line of defence caught."""
_ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**63,
    -(2**63),
    float("nan"),
    float("inf"),
    1e308,
    "",
    "\u2028" * 50,
    b"\xff" * 100,
    [],
    {},
    [[[[]]]],
    {"op": "steer"},
    np.zeros((0, 8, 7), np.float32),
    np.full((2, 8, 7), np.inf, np.float32),
    np.zeros((2, 8, 7), np.float64),
    np.zeros(3, np.uint8),
    np.array("text"),
    np.float64("nan"),
    {b"__ndarray__": True},
    {b"__ndarray__": True, b"data": b"", b"dtype": "|O", b"shape": []},
    {b"__ndarray__": True, b"data": b"", b"dtype": "<f4", b"shape": [0, 2**31]},
    {b"__npgeneric__": True, b"data": 1e400, b"dtype": "<i2"},
    msgpack.Timestamp(5, 6),
    msgpack.ExtType(3, b"abc"),
)
_HEADERS = tuple(
    bytes([b]) for b in (0x80, 0x8F, 0x90, 0x9F, 0xC1, 0xC4, 0xC6, 0xC7, 0xC9, 0xD4, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF)
)


@pytest.fixture
def server() -> Iterator[tuple[psutil.Process, int]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.slow_policy", "0", "open"],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    with process.stdout:
        yield psutil.Process(process.pid), int(process.stdout.readline())
        process.kill()
        process.wait(LONG_S)


def seeds() -> list[dict[str, Any]]:
    """Return one good message of each kind; contexts are filled in as they are handed out."""
    observation = pack_observation(PointWorld().observe(), cameras=("left", "right", "wrist"))
    chunk = np.random.default_rng(0).normal(size=(2, 8, 7)).astype(np.float32)
    commanded = np.zeros((2, 7), dtype=bool)
    plan = json.dumps(SteeringPlan(components=1).to_json())
    return [
        blank_droid_message(),
        {"op": "encode", "id": 1, "observation": observation},
        {"op": "steer", "id": "a", "context": "", "reference": chunk, "commanded": commanded, "plan": plan},
        {"op": "steer", "id": 2, "observation": observation, "reference": chunk, "commanded": commanded, "plan": plan},
        {"op": "denoise", "id": 3, "context": "", "noise": chunk, "steps": 3},
        {"op": "velocity", "id": 4, "context": "", "x": chunk, "t": 0.5},
        {"op": "release", "id": 5, "context": ""},
        {"op": "cancel", "id": 6, "target": 1},
    ]


def mutate_values(message: Any, rng: random.Random) -> Any:
    """Return the message with one value, key or entry somewhere in it changed, dropped or added."""
    if isinstance(message, dict) and message and rng.random() < 0.9:
        key = rng.choice(list(message))
        changed = dict(message)
        fate = rng.random()
        if fate < 0.15:
            del changed[key]
        elif fate < 0.25:
            changed[rng.choice(["x" * 500, b"\xff", "op", "id"])] = rng.choice(_ODD)
        else:
            changed[key] = mutate_values(message[key], rng)
        return changed
    if isinstance(message, np.ndarray) and message.size and rng.random() < 0.5:
        return rng.choice(
            [message[:0], message[None], message.T, message.astype("<f8"), message.astype("U8"), message * 0 - 1]
        )
    if isinstance(message, str) and rng.random() < 0.5:
        return message.replace(
            rng.choice("0123456789abcdetn,:"), rng.choice(["9" * 30, "null", "[", "-", "\0", "1e999"])
        )
    return rng.choice(_ODD)


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """Return the bytes flipped, cut, repeated or spliced in up to four places, mostly near the start."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = (
            min(int(rng.expovariate(1 / 200)), max(len(out) - 1, 0))
            if rng.random() < 0.7
            else rng.randrange(len(out) + 1)
        )
        fate = rng.randrange(5)
        if fate == 0 and out:
            out[min(at, len(out) - 1)] ^= 1 << rng.randrange(8)
        elif fate == 1:
            out[at:at] = rng.choice(_HEADERS) + rng.randbytes(rng.randrange(5))
        elif fate == 2:
            del out[at : at + rng.randrange(1, 50)]
        elif fate == 3:
            out[at:at] = out[at : at + rng.randrange(1, 2000)]
        else:
            del out[rng.randrange(len(out) + 1) :]
    return bytes(out)


def talk_rubbish(port: int, rng: random.Random) -> None:
    """Open a bare TCP connection, send a mutated handshake and frames, and leave."""
    hello = (
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    frame = b"\x82\x85mask" + b"12345"
    with socket.create_connection(("127.0.0.1", port), timeout=5) as link:
        is_good = rng.random() < 0.5
        link.sendall(hello if is_good else mutate_bytes(hello, rng))
        if is_good:
            link.recv(4096)
        try:
            link.sendall(mutate_bytes(frame * rng.randint(1, 20), rng))
        except OSError:
            return


def exchange(client: ClientConnection, data: bytes) -> Any:
    """Send one message and return its one answer: a map, or the text of an error."""
    client.send(data)
    answer = client.recv(timeout=LONG_S)
    return unpack(answer) if isinstance(answer, bytes) else answer


def fuzz(process: psutil.Process, port: int, *, count: int, seed: int) -> list[int]:
    """Send `count` mutated messages, check every answer, and return the server's memory at ten points in time."""
    rng, good, memory = random.Random(seed), seeds(), list[int]()
    with connect(f"ws://127.0.0.1:{port}", compression=None, max_size=None, proxy=None) as client:
        client.recv(timeout=LONG_S)
        for k in range(count):
            if k % 50 == 0:  # the server still works, and hands out a fresh context
                handle = exchange(client, pack(good[1]))["context"]
                good = [m | {"context": handle} if "context" in m else m for m in good]
                assert "chunk" in exchange(client, pack(good[2]))
                talk_rubbish(port, rng)
            message = rng.choice(good)
            if rng.random() < 0.5:
                data = msgpack.packb(mutate_values(message, rng), default=wire_default)
            else:
                data = mutate_bytes(pack(message), rng)
            answer = exchange(client, data)
            if isinstance(answer, str):
                assert answer.split(":")[0] in _CLEAN, answer
            elif "error" in answer:
                assert answer["error"]["type"] in _CLEAN, answer
            if k % max(count // 10, 1) == 0:
                memory.append(process.memory_info().rss)
        memory.append(process.memory_info().rss)
    assert process.is_running()
    return memory


def test_500_mutated_messages_get_500_clean_answers(server: tuple[psutil.Process, int]) -> None:
    fuzz(*server, count=500, seed=0)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_20000_mutated_messages_leave_the_servers_memory_flat(server: tuple[psutil.Process, int]) -> None:
    memory = fuzz(*server, count=20_000, seed=1)
    growth = (memory[-1] - memory[2]) / 2**20
    assert growth < 16, [round(m / 2**20, 1) for m in memory]
