"""A stock openpi policy server, written from its wire format: metadata on connect, observation in, actions out.

Like the real one it has no token, no ids and no noise, answers in order, and on an error sends a text frame and closes.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from tests.waiting import LONG_S


def wire_default(value: Any) -> Any:
    """Encode numpy as openpi-client does."""
    if isinstance(value, np.ndarray):
        return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}
    return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}


def wire_hook(entries: dict[Any, Any]) -> Any:
    """Decode numpy as openpi-client does."""
    if b"__ndarray__" in entries:
        return np.ndarray(entries[b"shape"], np.dtype(entries[b"dtype"]), buffer=entries[b"data"])
    if b"__npgeneric__" in entries:
        return np.dtype(entries[b"dtype"]).type(entries[b"data"])
    return entries


def droid_infer(horizon: int = 15) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a stand-in for pi05_droid: random joint velocities that depend on the call, checked input."""
    rng = np.random.default_rng(0)

    def infer(observation: dict[str, Any]) -> dict[str, Any]:
        assert observation["observation/exterior_image_1_left"].shape == (224, 224, 3)
        assert observation["observation/wrist_image_left"].dtype == np.uint8
        assert observation["observation/joint_position"].shape == (7,)
        assert observation["observation/gripper_position"].shape == (1,)
        assert isinstance(observation["prompt"], str)
        actions = rng.uniform(-1.0, 1.0, (horizon, 8))
        actions[:, 7] = np.abs(actions[:, 7])
        return {"actions": actions, "policy_timing": {"infer_ms": np.float64(1.5)}}

    return infer


@contextlib.contextmanager
def stock_server(
    infer: Callable[[dict[str, Any]], dict[str, Any]], metadata: dict[str, Any] | None = None
) -> Iterator[str]:
    """Serve `infer` on loopback for the length of a `with` block; yields the address."""

    def talk(socket: ServerConnection) -> None:
        socket.send(msgpack.packb(metadata or {}, default=wire_default))
        with contextlib.suppress(ConnectionClosed):
            while True:
                try:
                    reply = infer(msgpack.unpackb(socket.recv(), object_hook=wire_hook))
                except ConnectionClosed:
                    raise
                except Exception as error:
                    socket.send(f"Traceback (most recent call last):\n{error!r}")
                    socket.close(1011, "Internal server error. Traceback included in previous frame.")
                    return
                reply["server_timing"] = {"infer_ms": 1.0}
                socket.send(msgpack.packb(reply, default=wire_default))

    with serve(talk, "127.0.0.1", 0, compression=None, max_size=None) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join(LONG_S)
