"""One connection to a policy server: timeouts, ids, reconnection, cancelling.

Problem: a server may be gone, slow, restarted or replaced while a robot waits. Idea: every wait has an end; every request has
an id and an answer with another id is dropped; a broken connection is made again by the next request, not more often than
the back-off allows; a restarted server must show the same policy before it is used.

Example: `ask({"op": "steer", ...}, timeout_s=2.0)` returns the reply's map, or raises PolicyTimeout after 2 s. The answer that
arrives half a second later is dropped when the next request reads its own.

Runs on the thread that asks (the inference worker); `cancel` may be called from any.
"""

import contextlib
import ipaddress
import itertools
import logging
import re
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus, InvalidURI, WebSocketException
from websockets.frames import CloseCode
from websockets.http11 import Response
from websockets.sync.client import ClientConnection, connect

from frs_core import errors
from frs_core.errors import ConfigError, MalformedMessage, PolicyError, PolicyTimeout, ServingError
from frs_core.runtime.address import require_address, shown
from frs_core.runtime.foreign import in_line, visible
from frs_core.wire.codec import pack, unpack
from frs_core.wire.proxy import proxy_for, redirection

logger = logging.getLogger("frs.serving")

_SLICE_S = 0.1
"""How soon a waiting request notices `cancel`. An answer is noticed at once."""
_PING_S = 20.0
"""How long a server that has answered before may leave a ping without an answer. Source: websockets' default."""
_QUOTED = 1000
"""Characters of a server's text, and of the traceback before it, in an error. Guess."""
_BACKOFF_S = (0.5, 5.0)
"""First and longest pause between attempts to connect."""
_ANOTHER_NAME = (62, 64)
"""Of a host, of an address by number. Source: OpenSSL, X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE")
"""What OpenSSL makes of plain bytes, by its versions."""
_KNOWN_ERRORS = {
    name: getattr(errors, name)
    for name in (
        "ConfigError",
        "ShapeMismatch",
        "PolicyError",
        "PolicyTimeout",
        "SteeringUnavailable",
        "MalformedMessage",
        "ContextGone",
        "ServerBusy",
    )
}


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """How to reach a server, and how long to wait."""

    url: str
    """ws://host:port or wss://host:port."""
    token: str | None = field(default=None, repr=False)
    connect_timeout_s: float = 5.0
    """For TCP, TLS, handshake and metadata together."""
    message_bytes: int = 32 * 2**20
    """Largest message sent or accepted."""
    proxy: str | None = None
    """http://, https:// or socks5h:// address to connect through; None = the environment's, for public addresses only."""
    tls_ca: Path | None = None
    """PEM file of the authority (or the server's own certificate) to trust instead of the system's."""


class _Answered(Exception):
    """What answers speaks HTTP, and does not open a WebSocket."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


class _Straight(ClientConnection):
    """Follows no redirection, as websockets 17 would: who is redirected to is not the policy server that was asked for."""

    def handshake(self, *args: Any, **options: Any) -> None:
        """Open the connection. Raises _Answered, which websockets leaves alone."""
        try:
            super().handshake(*args, **options)
        except InvalidStatus as error:
            raise _Answered(error.response) from error


class WireClient:
    """Asks a policy server one thing at a time."""

    def __init__(self, settings: ClientSettings, *, verify: Callable[[Any], None] = lambda metadata: None) -> None:
        """Prepare; nothing is sent before `connect` or the first request.

        Args:
            settings: address, token, limits.
            verify: raises if the server's metadata is not what it should be; called on every connection.
        """
        scheme, host = _parts(settings.url)
        if settings.token and any(c.isspace() or not c.isprintable() for c in settings.token):
            raise ConfigError(
                "The token for the policy server holds a space, a line break or another character that no header carries. Give it "
                'without, as in FRS_TOKEN="$(cat token)".'
            )
        self.settings = settings
        self._shown = shown(settings.url)
        self.verify = verify
        self.generation = 0
        """Counts connections; a server forgets a client's contexts between two."""
        self._is_local = _is_local(host)
        if settings.token and scheme == "ws" and not self._is_local:
            logger.warning("The token travels to %s unencrypted; use wss:// or an ssh tunnel.", host)
        self._socket: ClientConnection | None = None
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._timeouts = 0
        self._retry_at, self._pause_s = 0.0, _BACKOFF_S[0]

    @property
    def is_connected(self) -> bool:
        """Whether the last request left a usable connection."""
        return self._socket is not None

    def connect(self) -> Any:
        """Connect if needed and return the server's metadata of this connection.

        Raises:
            ServingError: no server, wrong token, or not a policy server.
        """
        if self._socket is not None:
            return self._metadata
        wait_s = self._retry_at - time.monotonic()
        if wait_s > 0:
            raise ServingError(f"The policy server at {self._shown} is not reachable. Trying again in {wait_s:.1f} s.")
        self._retry_at, self._pause_s = time.monotonic() + self._pause_s, min(2 * self._pause_s, _BACKOFF_S[1])
        opened = self._open()
        try:
            data = opened.recv(timeout=self.settings.connect_timeout_s)
            if isinstance(data, str):
                raise MalformedMessage(
                    f"It greets with the text {visible(data[:80])!r}, expected openpi's msgpack format"
                )
            self._metadata = unpack(data)
            self.verify(self._metadata)
        except (TimeoutError, ConnectionClosed, ServingError) as error:
            opened.close()
            if type(error) is ServingError:
                raise
            raise ServingError(
                self._too_large(error)
                or f"{self._shown} answers, but not as a policy server: {str(error).rstrip('.')}. Check the address and port."
            ) from error
        except BaseException:
            opened.close()
            raise
        self._socket, self._timeouts = opened, 0
        self._retry_at, self._pause_s = 0.0, _BACKOFF_S[0]
        self.generation += 1
        return self._metadata

    def ask(self, message: dict[str, Any], *, timeout_s: float, has_ids: bool = True) -> dict[str, Any]:
        """Return the reply to one message.

        Args:
            message: what to send; an id is added.
            timeout_s: for the answer, seconds; connecting first, if needed, has its own limit.
            has_ids: False for stock servers, which echo none; a timeout then costs the connection.
        Raises:
            PolicyTimeout: no answer in time.
            PolicyError: the server's inference failed, or the request was cancelled.
            ServingError: the connection failed; the next request makes another.
        """
        if not self._lock.acquire(timeout=timeout_s):
            raise PolicyTimeout("Another request to the policy server has not ended. Ask from one thread only.")
        try:
            self._cancelled.clear()
            name = next(self._ids) if has_ids else None
            self._send(message | {"id": name} if has_ids else message)
            return self._wait(name, timeout_s)
        finally:
            self._lock.release()

    def cancel(self) -> None:
        """Make the request that is waiting, if any, raise PolicyError within 0.1 s. Any thread."""
        self._cancelled.set()

    def close(self) -> None:
        """Disconnect; the next request would connect again."""
        opened, self._socket = self._socket, None
        if opened is not None:
            opened.close()

    def _open(self) -> ClientConnection:
        s = self.settings
        headers = {"Authorization": f"Api-Key {s.token}"} if s.token else None
        proxy = proxy_for(s.url, given=s.proxy)
        through = "" if proxy is None else f" through the proxy {shown(proxy)}"
        way_out = "" if proxy is None else f" Set no_proxy={urlsplit(s.url).hostname} to connect without the proxy."
        context = _trusting(s.tls_ca) if urlsplit(s.url).scheme == "wss" else None
        try:
            # __enter__ marks the connection as ours to close; websockets 17 requires it, 15 accepts it.
            opened = connect(
                s.url,
                ssl=context,
                compression=None,
                max_size=s.message_bytes,
                additional_headers=headers,
                open_timeout=s.connect_timeout_s,
                close_timeout=1.0,
                # A stock server computes on its event loop and answers no ping while it compiles.
                ping_timeout=None,
                proxy=proxy,
                create_connection=_Straight,
            ).__enter__()
        except _Answered as error:
            raise self._refusal(error.response) from error
        except InvalidURI as error:
            raise ConfigError(
                f"Policy server address '{self._shown}' is not usable: {shown(str(error))}. Write ws://host:8000."
            ) from error
        except ImportError as error:
            raise ServingError(
                f"The policy server at {self._shown} cannot be reached{through}: {error}. Install it with `pip install "
                f"python-socks`.{way_out}"
            ) from error
        except ssl.SSLError as error:
            raise ServingError(
                f"TLS with the policy server at {self._shown}{through} failed: {_why_no_tls(error, s.url)}{way_out}"
            ) from error
        except TimeoutError as error:
            raise ServingError(
                f"The policy server at {self._shown} did not answer{through} within {s.connect_timeout_s:g} s. Check host, port and "
                f"network.{way_out}"
            ) from error
        except (OSError, WebSocketException, EOFError) as error:
            # One of them is a connection closed before it was open: whoever hangs up before the request is sent.
            said = getattr(error, "strerror", None) or shown(str(error))
            fix = way_out or " Start one with `frs serve`, or check the address."
            if isinstance(error, InvalidMessage) and urlsplit(s.url).scheme == "ws":
                fix = f" If it speaks TLS, write wss://.{fix}"
            raise ServingError(f"No policy server at {self._shown}{through}: {said}.{fix}") from error
        except Exception as error:
            # python-socks has its own tree of errors.
            if proxy is None:
                raise
            raise ServingError(f"No policy server at {self._shown}{through}: {shown(error)}.{way_out}") from error
        _limit_sending(opened.socket, s.connect_timeout_s)
        return opened

    def _refusal(self, response: Response) -> ServingError:
        url, status = self._shown, response.status_code
        if elsewhere := redirection(status, response.headers.get("Location")):
            return ServingError(f"{url} {elsewhere}; nothing was sent there. Give the address of the server itself.")
        if status in (401, 403):
            return ServingError(
                f"The policy server at {url} refused the token. Set the server's token on this machine too."
            )
        if status == 503:
            return ServingError(f"The policy server at {url} has too many connections. Close another client.")
        return ServingError(
            f"{url} answers with HTTP status {status}, not as a policy server. Check the address and port."
        )

    def _send(self, message: dict[str, Any]) -> None:
        data = pack(message)
        if len(data) > self.settings.message_bytes:
            raise ConfigError(
                f"A request of {len(data) / 2**20:.1f} MiB exceeds the limit of {self.settings.message_bytes / 2**20:.1f} MiB. "
                f"Raise it with message_bytes, here and at the server, or send fewer or smaller images."
            )
        was_connected = self.is_connected
        self.connect()
        try:
            self._required().send(data)
        except ConnectionClosed as error:
            self.close()
            if not was_connected:
                raise self._lost(error) from error
            # An idle connection was found dead; nothing of this request has been computed, so asking again is safe.
            self.connect()
            try:
                self._required().send(data)
            except ConnectionClosed as again:
                self.close()
                raise self._lost(again) from again

    def _wait(self, name: int | None, timeout_s: float) -> dict[str, Any]:
        """Return the answer with this id, dropping others."""
        deadline = time.monotonic() + timeout_s
        while True:
            frame = self._receive(name, deadline, timeout_s)
            if isinstance(frame, str):
                # openpi's server sends its traceback as text and hangs up.
                self.close()
                raise PolicyError(f"The policy server reports an error: {_last_first(frame)}")
            try:
                reply = unpack(frame)
            except ServingError:
                self.close()
                raise
            if not isinstance(reply, dict):
                self.close()
                raise ServingError(
                    f"The policy server answered with a {type(reply).__name__}, expected a map. Update it."
                )
            if name is not None and reply.get("id") != name:
                logger.info("Dropped a late answer (id %s, waiting for %s)", reply.get("id"), name)
                continue
            self._timeouts = 0
            # Whoever has answered once has compiled; a ping without an answer is a dead connection.
            self._required().ping_timeout = _PING_S
            if isinstance(reply.get("error"), dict):
                raise _remote_error(reply["error"])
            return reply

    def _receive(self, name: int | None, deadline: float, timeout_s: float) -> str | bytes:
        opened = self._required()
        while True:
            remaining = deadline - time.monotonic()
            if self._cancelled.is_set():
                self._abandon(name)
                raise PolicyError("The request to the policy server was cancelled.")
            if remaining <= 0:
                self._timeouts += 1
                self._abandon(name)
                raise PolicyTimeout(
                    f"The policy server at {self._shown} did not answer within {timeout_s:g} s. "
                    f"Check its load and the network."
                )
            try:
                return opened.recv(timeout=min(_SLICE_S, remaining))
            except TimeoutError:
                continue
            except ConnectionClosed as error:
                self.close()
                raise self._lost(error) from error

    def _abandon(self, name: int | None) -> None:
        """Tell the server not to compute a request any more; leave a server that has stopped answering."""
        if name is None or self._timeouts >= 2:
            self.close()
            return
        with contextlib.suppress(ConnectionClosed):  # the next request notices and connects again
            self._required().send(pack({"op": "cancel", "id": 0, "target": name}))

    def _required(self) -> ClientConnection:
        if self._socket is None:
            raise ServingError(f"Not connected to the policy server at {self._shown}.")
        return self._socket

    def _lost(self, error: Exception) -> ServingError:
        return ServingError(
            self._too_large(error)
            or f"The connection to the policy server at {self._shown} was lost{_how(error)}. The next request reconnects."
        )

    def _too_large(self, error: Exception) -> str:
        """Return what to say of a connection that ended at a message over a limit; empty where it ended otherwise."""
        limit = f"{self.settings.message_bytes / 2**20:.1f} MiB"
        if not isinstance(error, ConnectionClosed):
            return ""
        if error.sent is not None and error.sent.code == CloseCode.MESSAGE_TOO_BIG:
            return f"The policy server at {self._shown} sent a message over this client's limit of {limit}. Raise it with message_bytes, or check what is served."
        if error.rcvd is not None and error.rcvd.code == CloseCode.MESSAGE_TOO_BIG:
            return f"A request is over the limit of the policy server at {self._shown}. Raise the server's limit (frs serve --message-mb), or send fewer or smaller images."
        return ""


def _how(error: Exception) -> str:
    """Return how a connection ended, as a part of a sentence: ": it was closed by the server, 'going away'"."""
    if not isinstance(error, ConnectionClosed):
        return f": {shown(error)}"
    if error.rcvd is None:
        return ": it broke off"
    if error.rcvd.code in (CloseCode.NORMAL_CLOSURE, CloseCode.GOING_AWAY):
        return ": the server closed it"
    said = in_line(shown(error.rcvd.reason)) or f"code {error.rcvd.code}"
    return f": the server closed it and said '{said}'"


def _last_first(trace: str) -> str:
    """Return what a traceback ends with, its cause, before the rest; what would steer a terminal is spelled out."""
    lines = visible(trace.rstrip()).splitlines() or ["no text"]
    # The last line may go on below the one that names the error: that one is the last without an indent and with a colon.
    start = max((i for i, line in enumerate(lines) if re.match(r"[\w.]+(: |$)", line)), default=len(lines) - 1)
    cause, rest = "\n".join(lines[start:])[:_QUOTED], "\n".join(lines[:start])
    if len(rest) > _QUOTED:
        rest = f"…\n{rest[-_QUOTED:].partition(chr(10))[2]}"
    return f"{cause}\n{rest}".rstrip()


def _remote_error(error: dict[Any, Any]) -> Exception:
    """Return a server's error as the class of the same name here; unknown ones as PolicyError."""
    kind, text = in_line(str(error.get("type"))[:80]), visible(str(error.get("message"))[:2000])
    known = _KNOWN_ERRORS.get(kind)
    return known(text) if known else PolicyError(f"The policy server reports {kind}: {text}")


def _parts(url: str) -> tuple[str, str]:
    """Return scheme and host of a server's address. Raises ConfigError where it is none."""
    parts = require_address("Policy server", url, schemes=("ws", "wss"), example="ws://host:8000 or wss://host:8000")
    return parts.scheme, parts.hostname or ""


def _trusting(authority: Path | None) -> ssl.SSLContext:
    """Return the TLS settings. Raises ConfigError where the file of the authority cannot be used."""
    try:
        return ssl.create_default_context(cafile=authority)
    except OSError as error:
        raise ConfigError(
            f"'{authority}' cannot be used as tls_ca: {error.strerror or error}. Give a certificate in PEM form: the server's own, or its "
            f"authority's."
        ) from error


def _why_no_tls(error: ssl.SSLError, url: str) -> str:
    """Return why TLS failed, with the fix."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _ANOTHER_NAME:
            return (
                f"its certificate is for another name than '{urlsplit(url).hostname}'. Connect by the name that it is for (`openssl x509 -noout -ext "
                f"subjectAltName -in cert.pem` shows it), or make one for this name."
            )
        return f"{visible(error.verify_message)}. Give its certificate with tls_ca."
    if isinstance(error, ssl.SSLEOFError) or error.reason in _NO_TLS:
        return "what answers does not speak TLS. If the server has no certificate, write ws://; its token then travels unencrypted."
    return f"{(error.reason or visible(error)).replace('_', ' ').lower()}. Check the server's certificate and its version of TLS."


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def _limit_sending(raw: socket.socket, timeout_s: float) -> None:
    """Bound how long a send may block on a peer that does not read; small messages leave at once."""
    if sys.platform == "win32":
        limit = struct.pack("L", int(timeout_s * 1e3))
    else:
        limit = struct.pack("ll", int(timeout_s), int(timeout_s % 1 * 1e6))
    # A peer that has hung up already has closed it; what it said is still read, and then the end of the connection.
    with contextlib.suppress(OSError):
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
