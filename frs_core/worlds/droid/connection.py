"""The cockpit's connection to a DROID bridge: requests with a time limit, answers matched by number.

Every request has its own number; an answer to an older one is counted and dropped. After a timeout the socket is discarded,
so that nothing it still holds reaches the robot later. Used by one thread, the world's.

    connection = Connection("tcp://127.0.0.1:4343", token="", client="frs")
    facts = connection.hello({"width": 640, "height": 360}, timeout_s=5.0)
    connection.request("state", timeout_s=0.5)["state"]["q"]
"""

import contextlib
import time
from collections.abc import Mapping
from typing import Any

import msgpack
import zmq

from frs_core.errors import ConfigError, FrsError, WorldError, WorldTimeout
from frs_core.runtime.address import require_address, shown

PROTOCOL = 2
"""Must equal the bridge's; the bridge refuses any other."""
MAX_ANSWER = 64 << 20
"""Bytes; three raw HD frames are 8 MB."""

_OPERATOR_CODES = {"protocol", "token", "malformed", "bad_request"}


class BridgeRefusal(WorldError):
    """The bridge refused a request."""

    def __init__(self, code: str, text: str) -> None:
        """Keep the bridge's code ('stale', 'limit', 'robot', ...) beside its sentence."""
        super().__init__(text)
        self.code = code


class Connection:
    """One client of one bridge."""

    def __init__(self, endpoint: str, *, token: str = "", client: str = "frs cockpit") -> None:
        """Prepare; nothing is sent before `hello`.

        Args:
            endpoint: ZMQ address of the bridge.
            token: secret, when the bridge wants one.
            client: name of this client in the bridge's log.
        """
        if endpoint.startswith("tcp:"):
            require_address(
                "DROID bridge",
                endpoint,
                schemes=("tcp",),
                example="tcp://192.168.0.10:4343",
                instead="as FRS_BRIDGE_TOKEN",
            )
        self.endpoint, self._token, self._client = endpoint, token, client
        self.late_answers = 0
        self.round_trip_s = 0.0
        """Of the last answered request."""
        self._session: str | None = None
        self._number = 0
        self._socket: zmq.Socket[bytes] | None = None

    @property
    def has_session(self) -> bool:
        """Whether a session is open, as far as this side knows."""
        return self._session is not None

    def hello(self, image: Mapping[str, object], *, timeout_s: float) -> dict[str, Any]:
        """Open a session and return the bridge's facts; retries while another client's lease runs out.

        Args:
            image: width, height, encoding, quality of the images.
            timeout_s: for everything together.
        Raises:
            ConfigError: protocol or token do not match.
            WorldTimeout: nobody answers there.
            WorldError: another client is connected.
        """
        end = time.monotonic() + timeout_s
        self.drop()
        fields = {"protocol": PROTOCOL, "client": self._client, "token": self._token, "image": dict(image)}
        while True:
            try:
                facts = self.request("hello", timeout_s=max(0.05, end - time.monotonic()), **fields)
            except BridgeRefusal as error:
                if error.code != "busy" or time.monotonic() + 0.2 > end:
                    raise
                time.sleep(0.2)
                continue
            self._session = facts["session"]
            return facts

    def request(self, op: str, *, timeout_s: float, **fields: object) -> dict[str, Any]:
        """Return the answer to one request.

        Raises:
            WorldTimeout: no answer in time; the session is closed.
            BridgeRefusal: the bridge refused it.
            ConfigError: the bridge does not understand the request.
        """
        socket = self._open()
        self._number += 1
        number, started = self._number, time.monotonic()
        message: bytes = (
            msgpack.packb({"id": number, "session": self._session, "op": op, **fields}, use_bin_type=True) or b""
        )
        try:
            # With IMMEDIATE a message waits here, not in a queue, until there is a connection.
            if not socket.poll(int(timeout_s * 1000), zmq.POLLOUT):
                raise self._silent(op, timeout_s)
            socket.send(message, zmq.NOBLOCK)
            while True:
                left = started + timeout_s - time.monotonic()
                if left <= 0 or not socket.poll(max(1, int(left * 1000)), zmq.POLLIN):
                    raise self._silent(op, timeout_s)
                answer = self._decode(socket.recv())
                if answer.get("id") == number:
                    break
                self.late_answers += 1
        except zmq.ZMQError as error:
            self.drop()
            raise WorldError(
                f"The connection to the DROID bridge at {shown(self.endpoint)} failed: {error}. Reconnect."
            ) from error
        self.round_trip_s = time.monotonic() - started
        if answer.get("ok"):
            return answer
        raise self._refusal(answer)

    def drop(self) -> None:
        """Discard session and socket, with everything still queued in it."""
        self._session = None
        if self._socket is not None:
            self._socket.close(linger=0)
            self._socket = None

    def close(self) -> None:
        """End the session if one is open, then discard the socket."""
        if self._session is not None and self._socket is not None:
            # It drops a silent client by itself.
            with contextlib.suppress(FrsError):
                self.request("bye", timeout_s=0.3)
        self.drop()

    def _open(self) -> "zmq.Socket[bytes]":
        if self._socket is None:
            socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.IMMEDIATE, 1)
            socket.setsockopt(zmq.MAXMSGSIZE, MAX_ANSWER)
            socket.setsockopt(zmq.RECONNECT_IVL, 50)
            socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
            try:
                socket.connect(self.endpoint)
            except zmq.ZMQError as error:
                socket.close(linger=0)
                raise ConfigError(
                    f"'{shown(self.endpoint)}' is not an address ({error}). Write it as tcp://192.168.0.10:4343."
                ) from error
            self._socket = socket
            return socket
        return self._socket

    def _decode(self, data: bytes) -> dict[str, Any]:
        try:
            answer = msgpack.unpackb(data, raw=False)
        except Exception as error:
            self.drop()
            raise WorldError(
                f"The answer from {shown(self.endpoint)} is not a bridge's: {error}. Check the address."
            ) from error
        if not isinstance(answer, dict):
            self.drop()
            raise WorldError(
                f"The answer from {shown(self.endpoint)} is a {type(answer).__name__}, not a map. Check the address."
            )
        return answer

    def _silent(self, op: str, timeout_s: float) -> WorldTimeout:
        self.drop()
        return WorldTimeout(
            f"The DROID bridge at {shown(self.endpoint)} did not answer '{op}' within {timeout_s:.1f} s. "
            f"Check that bridge.py runs there and the network; then reconnect."
        )

    def _refusal(self, answer: Mapping[str, Any]) -> FrsError:
        code, fix = str(answer.get("code", "")), str(answer.get("fix", ""))
        text = f"{answer.get('error', 'The DROID bridge refused.')} {fix}".strip()
        if code == "no_session":
            self.drop()
        if code in _OPERATOR_CODES:
            return ConfigError(text)
        return BridgeRefusal(code, text)
