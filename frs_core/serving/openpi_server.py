"""One file that runs inside an openpi checkout and lets its JAX policies be steered, without converting any weights.

Problem: openpi's own server samples, but neither accepts noise nor reverses the flow, and openpi cannot share an environment
with this product. Idea: this file needs nothing but what an openpi checkout has. It loads a policy as openpi's serve_policy
does, answers openpi's clients in openpi's format, and adds the operations of `frs serve`: encode, steer, denoise, velocity.

    uv run --project $OPENPI python openpi_server.py --config pi05_droid --dir gs://openpi-assets/checkpoints/pi05_droid

The prefix is encoded once and its keys and values stay on the device; all candidates are packed into one sequence that
attends to them block by block, so a fan costs little more than one sample. Flow time on the wire is t = 0 noise, t = 1 action;
openpi's runs the other way and is turned round in one place, `JaxField._velocity`.

Actions on the wire are normalised by the checkpoint's own statistics. Where openpi adds the robot's state to actions after
normalisation (joint position checkpoints), a chunk is shifted by that state and the field with it, v'(y, t) = v(y - t s, t) + s,
so that a client sees absolute joint angles and the noise stays what it was.

Example: pi05_droid, H = 15, width 32, 8 used: a steer message of 13 references takes 20 passes of 16 x 15 tokens.

Threads: an event loop for the clients, one worker for the policy. The parts between the codec and websocket_server marks are kept word
for word as in the product's `codec.py` and `websocket_server.py`.
"""

# pyright: reportMissingImports=false
# jax, flax and openpi are there in an openpi checkout only.

import argparse
import asyncio
import contextlib
import copy
import hashlib
import hmac
import http
import ipaddress
import json
import logging
import math
import os
import re
import secrets
import signal
import socket
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

import msgpack
import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

logger = logging.getLogger("frs.serving")


class ConfigError(ValueError):
    """A setting or option is not usable."""


class ServingError(ConnectionError):
    """The server failed."""


class MalformedMessage(ServingError, ValueError):
    """Bytes are no message, or a message is invalid."""


class ContextGone(ServingError, LookupError):
    """The server has dropped an encoded observation."""


class ServerBusy(ServingError):
    """The server has too much to do already."""


class PolicyError(RuntimeError):
    """Inference gave non-finite numbers."""


# <codec>
MAX_ITEMS = 20_000
"""Entries of all lists and maps of one message together. A fan request has about 60; arrays count as one map."""
MAX_LIST = 1024
"""Entries of one list or map; bounds what a header alone can make the reader allocate."""
_DTYPES = re.compile(r"[<>|=]?([biu][1248]|f[248]|[US][0-9]{1,5})")
"""Booleans, integers, floats, fixed strings: no objects, records, dates or complex numbers."""


def pack(message: Any) -> bytes:
    """Return a message as bytes.

    Args:
        message: dicts, lists, strings, bytes, numbers, numpy arrays and scalars.
    Raises:
        MalformedMessage: something has no place on this wire, such as an array of objects.
    """
    try:
        return msgpack.Packer(default=_pack_numpy).pack(message)
    except (TypeError, ValueError, OverflowError) as error:
        raise MalformedMessage(
            f"Message cannot be packed: {error}. Send numbers, strings, arrays, lists and maps."
        ) from error


def unpack(data: bytes) -> Any:
    """Return the message of some bytes; arrays are read-only views of them.

    Args:
        data: one websocket frame; its size is limited by the socket.
    Raises:
        MalformedMessage: the bytes are not a message, or contain something that is not allowed.
    """
    budget = _Budget()
    try:
        return msgpack.unpackb(
            data,
            object_pairs_hook=budget.read_map,
            list_hook=budget.read_list,
            ext_hook=_refuse_extension,
            max_array_len=MAX_LIST,
            max_map_len=MAX_LIST,
        )
    except MalformedMessage:
        raise
    # Everything msgpack, numpy and the UTF-8 decoder raise on bad bytes; RecursionError is its pure Python reader's.
    except (
        ValueError,
        TypeError,
        OverflowError,
        KeyError,
        RecursionError,
        msgpack.exceptions.UnpackException,
    ) as error:
        raise MalformedMessage(
            f"Message of {len(data)} bytes cannot be read: {_why_unreadable(error)}. Expected openpi's msgpack format."
        ) from error


def _why_unreadable(error: Exception) -> str:
    """Return what is wrong with some bytes; msgpack's own words speak of its functions and of its stack."""
    text = str(error)[:200]
    if isinstance(error, msgpack.exceptions.ExtraData):
        return "further bytes follow its end"
    if isinstance(error, (msgpack.exceptions.StackError, RecursionError)):
        return "its lists and maps are nested too deeply"
    if isinstance(error, msgpack.exceptions.FormatError):
        return "it holds a byte that begins no value"
    if isinstance(error, UnicodeDecodeError):
        return "a text in it is no UTF-8"
    if isinstance(error, KeyError):
        return f"an array or a number in it lacks '{error.args[0].decode()}'"
    if "incomplete" in text:
        return "it ends in the middle"
    if "exceeds max_" in text:
        return f"it has a list or map of {text.split()[0]} entries, expected at most {MAX_LIST}"
    if "map key" in text:
        return "a key of a map in it is no text"
    return f"a number or array in it is none ({text})"


class _Budget:
    """Counts list and map entries while one message is read."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_ITEMS

    def read_list(self, items: list[Any]) -> list[Any]:
        self._spend(len(items))
        return items

    def read_map(self, pairs: list[tuple[Any, Any]]) -> Any:
        self._spend(len(pairs))
        entries = dict(pairs)
        if len(entries) != len(pairs):
            raise MalformedMessage("Message has a map with one name twice. Send each name once.")
        if b"__ndarray__" in entries:
            return _read_array(entries)
        if b"__npgeneric__" in entries:
            return _read_scalar(entries)
        return entries

    def _spend(self, count: int) -> None:
        self.left -= count + 1
        if self.left < 0:
            raise MalformedMessage(f"Message has more than {MAX_ITEMS} entries. Send numbers as arrays, not as lists.")


def _pack_numpy(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        _check_dtype(value.dtype.str)
        if isinstance(value, np.ndarray):
            return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}
    raise TypeError(f"a {type(value).__name__} has no place on the wire")


def _check_dtype(name: Any) -> "np.dtype[Any]":
    if not isinstance(name, str) or not _DTYPES.fullmatch(name):
        raise MalformedMessage(f"Array type {str(name)[:40]!r} is refused; expected numbers, booleans or strings.")
    return np.dtype(name)


def _read_array(entries: dict[Any, Any]) -> NDArray[Any]:
    dtype, shape, data = _check_dtype(entries[b"dtype"]), entries[b"shape"], entries[b"data"]
    if not isinstance(data, bytes) or not isinstance(shape, list) or len(shape) > 8:
        raise MalformedMessage("Array needs bytes as data and a list of at most 8 sizes as shape.")
    count = 1
    for size in shape:
        if type(size) is not int or not 0 <= size < 2**31:
            raise MalformedMessage(f"Array size {str(size)[:40]} is refused; expected 0..2^31.")
        count *= size
    if count * dtype.itemsize != len(data):
        raise MalformedMessage(
            f"Array of shape {shape} and type {dtype.str} needs {count * dtype.itemsize} bytes, got {len(data)}."
        )
    if dtype.kind == "b" and data.strip(b"\0\1"):
        raise MalformedMessage("Array of booleans holds bytes other than 0 and 1.")
    return np.ndarray(shape, dtype, buffer=data)


def _read_scalar(entries: dict[Any, Any]) -> Any:
    dtype, value = _check_dtype(entries[b"dtype"]), entries[b"data"]
    if not isinstance(value, (bool, int, float, str, bytes)):
        raise MalformedMessage(f"Scalar of type {dtype.str} needs a number or a string, got {type(value).__name__}.")
    return dtype.type(value)


def _refuse_extension(code: int, data: bytes) -> Any:
    raise MalformedMessage(f"Extension type {code} with {len(data)} bytes is refused.")


# </codec>

# <websocket_server>
Contexts = OrderedDict[str, Any]
"""A client's encoded observations by handle, oldest first; the handler keeps it small."""
MIN_TOKEN = 16
"""Characters; 16 random ones cannot be guessed over a network."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where to listen, whom to let in, and how much of everything."""

    host: str = "127.0.0.1"
    port: int = 8000
    """0 = any free port; read `WebsocketServer.port`."""
    token: str | None = field(default=None, repr=False)
    """Clients send it as `Authorization: Bearer ...` (or openpi's `Api-Key ...`). Needed off loopback."""
    tls_cert: Path | None = None
    """PEM file with the certificate chain; with `tls_key` the server uses wss."""
    tls_key: Path | None = None
    message_bytes: int = 32 * 2**20
    """Largest message; three 1280 x 720 images are 8 MiB."""
    connections: int = 16
    in_flight: int = 4
    """Unanswered requests per connection."""
    send_timeout_s: float = 10.0
    """A client that does not read its answer for so long is dropped."""
    open_timeout_s: float = 10.0
    """For TCP, TLS and websocket handshake together."""
    ping_s: float = 20.0
    """Silent connections are pinged, and dropped after as long again."""
    stall_s: float = 120.0
    """One inference longer than this turns /healthz red. A first compilation may take a minute."""

    def __post_init__(self) -> None:
        if self.token is not None and len(self.token) < MIN_TOKEN:
            raise ConfigError(
                f"The server's token has {len(self.token)} characters, needs at least {MIN_TOKEN}. "
                f"Make one with `openssl rand -hex 16`."
            )
        _require_host(self.host)
        if not is_loopback(self.host) and self.token is None:
            raise ConfigError(
                f"Listening on '{self.host}' lets other machines command the policy, and no token is set. "
                f"Set a token (FRS_TOKEN or a token file), or listen on 127.0.0.1 and reach it through "
                f"`ssh -L {self.port}:127.0.0.1:{self.port}`."
            )
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ConfigError("TLS needs both a certificate and a key, got one of them. Give both files or neither.")
        # Before anything is loaded, which takes minutes.
        _tls(self.tls_cert, self.tls_key)


def _require_host(host: str) -> None:
    """Do nothing, unless what is to be listened on is more than a host, or none. Raises ConfigError."""
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        return
    if set(host) & set("/:[]@?# \t\r\n"):
        name, _, port = host.rpartition("/")[2].rpartition(":")
        bare = name.removeprefix("[").removesuffix("]")
        way_out = f"--host {bare} --port {port}" if bare and port.isdigit() else "--host 127.0.0.1 --port 8000"
        raise ConfigError(f"'{host}' is no host to listen on; the port is given on its own. Write: {way_out}")


def _tls(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Return what a certificate and its key make; None without. Raises ConfigError, which names the file that cannot be used."""
    if cert is None or key is None:
        return None
    _require_pem(cert, "certificate", b"CERTIFICATE-----")
    _require_pem(key, "private key", b"PRIVATE KEY-----")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # An empty password: without one OpenSSL would ask for it on the terminal.
        context.load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(
                f"'{key}' is not the key of the certificate '{cert}'. Give the two that were made together."
            ) from error
        if b"ENCRYPTED" in key.read_bytes():
            fix = f"Store it without one where only you can read it: openssl pkey -in {key} -out plain.pem"
            raise ConfigError(
                f"The private key '{key}' needs a password, which nobody is there to type. {fix}"
            ) from error
        why = (error.reason or "unknown").replace("_", " ").lower()
        raise ConfigError(f"Certificate '{cert}' and key '{key}' cannot be used: {why}. Make them again.") from error
    return context


def _require_pem(path: Path, what: str, mark: bytes) -> None:
    """Do nothing, unless a file holds no PEM block of its kind. Raises ConfigError."""
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is no file")
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"The TLS {what} '{path}' cannot be read: {error.strerror or error}. Correct the path."
        ) from error
    if mark not in content:
        raise ConfigError(f"'{path}' holds no {what} in PEM format, which begins with '-----BEGIN'. Give the PEM file.")


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server bound to `host`."""
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def _is_number(host: str) -> bool:
    """Return whether a Host header names an address by number, or this machine."""
    with contextlib.suppress(ValueError):
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or bool(ipaddress.ip_address(name))
    return False


def require_port(settings: ServerSettings) -> None:
    """Do nothing, unless the address cannot be listened on: looked at before a policy is loaded, which takes minutes. Raises ServingError."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as trial:
                # As asyncio sets them, so that a port that a former server has just left counts as free.
                if os.name == "posix":
                    trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                trial.bind(address)
    except OSError as error:
        raise _cannot_listen(settings, error) from error


def place(host: str, port: int) -> str:
    """Return host and port as an address writes them: an IPv6 one in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _cannot_listen(settings: ServerSettings, error: OSError) -> ServingError:
    return ServingError(
        f"Cannot listen on {place(settings.host, settings.port)}: {error.strerror or error}. "
        f"Choose another port, or stop the server that has it."
    )


class WebsocketServer:
    """Serves one handler to many clients."""

    def __init__(
        self,
        handle: Callable[[dict[str, Any], Contexts], dict[str, Any]],
        metadata: dict[str, Any],
        settings: ServerSettings,
    ) -> None:
        """Prepare to serve; nothing listens yet.

        Args:
            handle: turns a message into a reply, on the worker thread; what it raises goes to the client as text.
            metadata: sent to each client on connect.
            settings: address, token and limits.
        """
        self.settings = settings
        self.port = settings.port
        self._handle = handle
        self._metadata = pack(metadata)
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inference")
        self._busy_since: float | None = None
        self._seats = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Serve until `stop`, SIGINT or SIGTERM.

        Args:
            on_ready: called once the port listens.
        Raises:
            ServingError: the address cannot be listened on.
        """
        try:
            asyncio.run(self._serve(on_ready))
        except OSError as error:
            raise _cannot_listen(self.settings, error) from error
        finally:
            self._worker.shutdown(wait=False, cancel_futures=True)

    def stop(self) -> None:
        """Stop serving; any thread, any time."""
        if self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)

    @contextlib.contextmanager
    def running(self) -> Generator["WebsocketServer", None, None]:
        """Serve from a thread of its own for the length of a `with` block; `port` is known inside.

        Raises:
            ServingError: the server did not come up within 30 s.
        """
        ready, failure = threading.Event(), list[BaseException]()

        def body() -> None:
            try:
                self.run(ready.set)
            except ServingError as error:
                failure.append(error)
            finally:
                ready.set()

        thread = threading.Thread(target=body, name="policy-server", daemon=True)
        thread.start()
        if not ready.wait(30.0):
            raise ServingError("The policy server did not come up within 30 s. See its log.")
        if failure:
            raise failure[0]
        try:
            yield self
        finally:
            self.stop()
            thread.join(10.0)

    async def _serve(self, on_ready: Callable[[], None]) -> None:
        s = self.settings
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        if threading.current_thread() is threading.main_thread():
            with contextlib.suppress(NotImplementedError):  # Windows
                self._loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        async with serve(
            self._talk,
            s.host,
            s.port,
            ssl=_tls(s.tls_cert, s.tls_key),
            process_request=self._admit,
            compression=None,
            max_size=s.message_bytes,
            max_queue=2,
            open_timeout=s.open_timeout_s,
            close_timeout=2.0,
            ping_interval=s.ping_s,
            ping_timeout=s.ping_s,
            server_header=None,
        ) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            on_ready()
            await self._stop.wait()

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Return an HTTP answer for health checks and unwanted clients, None to continue."""
        if request.path == "/healthz":
            since = self._busy_since
            if since is not None and time.monotonic() - since > self.settings.stall_s:
                text = f"inference has been running for {time.monotonic() - since:.0f} s\n"
                return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, text)
            return connection.respond(http.HTTPStatus.OK, "OK\n")
        if self.settings.token is not None and not self._is_authorised(request):
            logger.warning("Refused %s: wrong or missing token", connection.remote_address)
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, "Wrong or missing token.\n")
        if (origin := self._foreign_origin(request)) is not None:
            logger.warning("Refused %s: it comes from the page %s", connection.remote_address, origin)
            text = f"A client with Origin {origin} is not served: it may be a web page. Send no Origin header.\n"
            return connection.respond(http.HTTPStatus.FORBIDDEN, text)
        if self._seats >= self.settings.connections:
            return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "Too many connections.\n")
        return None

    def _foreign_origin(self, request: Request) -> str | None:
        """Return the Origin of a client that may be a web page; None for others.

        Browsers always send it, which keeps web pages from talking to a server on loopback. Ordinary clients may send the server's
        own address; by number only, since a page could have given itself a name that leads here.
        """
        origins, hosts = request.headers.get_all("Origin"), request.headers.get_all("Host")
        if not origins:
            return None
        own = {f"{scheme}://{host}".lower() for host in hosts for scheme in ("http", "https", "ws", "wss")}
        is_safe = self.settings.token is not None or (len(hosts) == 1 and _is_number(hosts[0]))
        is_own = len(origins) == 1 and origins[0].lower() in own and is_safe
        return None if is_own else ", ".join(origin or "''" for origin in origins)[:200]

    def _is_authorised(self, request: Request) -> bool:
        expected = (self.settings.token or "").encode()
        given = request.headers.get_all("Authorization")
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        is_equal = hmac.compare_digest(token.strip().encode("utf-8", "surrogateescape"), expected)
        return is_equal and scheme.lower() in ("bearer", "api-key")

    async def _talk(self, socket: ServerConnection) -> None:
        """Read one client's messages until it leaves; answers are sent by a task each, in order of completion."""
        self._seats += 1
        contexts: Contexts = OrderedDict()
        waiting: dict[int, tuple[Any, asyncio.Future[bytes | str]]] = {}
        tasks: set[asyncio.Task[None]] = set()
        logger.info("Client %s came", socket.remote_address)
        try:
            await self._send(socket, self._metadata)
            async for frame in socket:
                answer = self._receive(frame, contexts, waiting, unsent=len(tasks))
                task = asyncio.create_task(self._answer(socket, answer))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                if not isinstance(answer, asyncio.Future):
                    await task
        except ConnectionClosed:
            pass  # a client that leaves without a close frame is not an error of the server
        finally:
            if waiting:
                logger.warning(
                    "Client %s left before %d of its requests was answered", socket.remote_address, len(waiting)
                )
            for _, future in waiting.values():
                future.cancel()
            for task in tasks:
                task.cancel()
            contexts.clear()
            self._seats -= 1
            logger.info("Client %s left", socket.remote_address)

    def _receive(
        self,
        frame: str | bytes,
        contexts: Contexts,
        waiting: dict[int, tuple[Any, "asyncio.Future[bytes | str]"]],
        *,
        unsent: int,
    ) -> "asyncio.Future[bytes | str] | bytes | str":
        """Return the answer to a frame, or the future that will hold it."""
        message: Any = None
        try:
            if isinstance(frame, str):
                raise MalformedMessage("Message is a text frame. Send msgpack in a binary frame.")
            message = unpack(frame)
            _check_envelope(message)
            if message.get("op") == "cancel":
                hits = [f for name, f in waiting.values() if name is not None and name == message.get("target")]
                return pack({"id": message.get("id"), "cancelled": sum(f.cancel() for f in hits)})
            if unsent >= self.settings.in_flight:
                raise ServerBusy(f"{unsent} requests are unanswered already. Wait for an answer, then ask again.")
        except (MalformedMessage, ServerBusy) as error:
            return _failure(message, error)
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._worker, self._work, message, contexts, time.monotonic())
        waiting[id(future)] = (message.get("id"), future)
        future.add_done_callback(lambda done: waiting.pop(id(done), None))
        if "op" in message:
            shown = {"op": message["op"], "id": message.get("id")}
            return asyncio.ensure_future(_or_cancelled(future, shown))
        return future

    async def _answer(self, socket: ServerConnection, answer: "asyncio.Future[bytes | str] | bytes | str") -> None:
        data = await answer if isinstance(answer, asyncio.Future) else answer
        with contextlib.suppress(ConnectionClosed):
            await self._send(socket, data)

    async def _send(self, socket: ServerConnection, data: bytes | str) -> None:
        try:
            await asyncio.wait_for(socket.send(data), self.settings.send_timeout_s)
        except TimeoutError:
            logger.warning("Dropped %s: it does not read its answers", socket.remote_address)
            socket.transport.abort()

    def _work(self, message: dict[str, Any], contexts: Contexts, asked: float) -> bytes | str:
        """Compute one reply; runs on the worker thread."""
        self._busy_since = started = time.monotonic()
        try:
            reply = self._handle(message, contexts)
            done = time.monotonic()
            reply["server_timing"] = {"infer_ms": (done - started) * 1e3, "queue_ms": (started - asked) * 1e3}
            if "id" in message:
                reply["id"] = message["id"]
            return pack(reply)
        except Exception as error:
            logger.exception("Request failed")
            return _failure(message, error)
        finally:
            self._busy_since = None


async def _or_cancelled(future: "asyncio.Future[bytes | str]", shown: dict[str, Any]) -> bytes | str:
    """Return the reply, or the error that a cancelled request's sender gets."""
    try:
        return await future
    except asyncio.CancelledError:
        if not future.cancelled():
            raise
        return pack({"id": shown["id"], "error": {"type": "Cancelled", "message": "The request was cancelled."}})


def _check_envelope(message: Any) -> None:
    """Raise unless a message is a map with a sane operation and id."""
    if not isinstance(message, dict):
        raise MalformedMessage(f"Message is a {type(message).__name__}, expected a map.")
    name, op = message.get("id"), message.get("op", "")
    if not (name is None or type(name) is int or (isinstance(name, str) and len(name) <= 64)):
        raise MalformedMessage("Request id must be an integer or at most 64 characters.")
    if not isinstance(op, str) or len(op) > 64:
        raise MalformedMessage("`op` must be the name of an operation.")


def _failure(message: Any, error: Exception) -> bytes | str:
    """Return an error as its sender expects it: a text frame for openpi's clients, a map with the id for ours."""
    kind, text = type(error).__name__, str(error)[:2000].encode("utf-8", "replace").decode()
    if isinstance(message, dict) and isinstance(message.get("op"), str):
        name = message.get("id")
        return pack({"id": name if isinstance(name, (int, str)) else None, "error": {"type": kind, "message": text}})
    return f"{kind}: {text}"


# </websocket_server>

Array = Any
"""A float32 numpy array; chunks are [B, H, A], normalised."""
MAX_CONTEXTS = 4
"""Per connection; a pi0.5 context is about 20 MB."""
MAX_CANDIDATES = 64
MAX_WORK = 20_000
"""Velocity rows of one request."""
ACTION_SPACES = {
    **dict.fromkeys(("pi0_droid", "pi05_droid", "pi05_droid_finetune"), "joint_velocity"),
    **dict.fromkeys(
        (
            "pi05_full_droid_finetune",
            "pi05_droid_jointpos_polaris",
            "pi0_droid_jointpos_polaris",
            "pi0_droid_jointpos_100k_polaris",
        ),
        "joint_position",
    ),
}
"""What the actions of openpi's own configurations are. Source: openpi training/config.py and misc/polaris_config.py."""
_DEFAULT_PLAN: dict[str, Any] = {
    "method": "frs",
    "steps": 10,
    "depth": None,
    "components": None,
    "fill": "zero",
    "fill_scale": 1.0,
    "clamp": None,
    "strength": 1.0,
    "gripper_strength": 1.0,
    "solver": "euler",
    "iterations": 50,
    "damping": 0.5,
    "t_max": 1.0,
    "leave_uncommanded": True,
    "seed": 0,
    "noising_time": 0.5,
    "samples": 16,
    "control_rows": None,
}
"""The product's steering plan with the paper's settings."""
_CHOICES = {
    "method": ("frs", "direct", "partial_noising", "sample_and_rank", "flow_control"),
    "fill": ("zero", "noise"),
    "solver": ("euler", "fixed_point"),
}


@runtime_checkable
class Field(Protocol):
    """A velocity field for one observation, integrated on its own device; t = 0 is noise, t = 1 is action."""

    def velocity(self, x: Array, t: float) -> Array:
        """Return v of every row at time t."""
        ...

    def denoise(self, x: Array, *, steps: int, depth: int) -> Array:
        """Return x after the last `depth` of `steps` Euler steps towards the action."""
        ...

    def reverse(self, x: Array, *, steps: int, depth: int, t_max: float) -> Array:
        """Return x after `depth` Euler steps from the action towards the noise, velocities at the action's side."""
        ...

    def invert(self, x: Array, *, steps: int, iterations: int, damping: float) -> Array:
        """Return the noise that denoises to x, by a damped fixed point per step."""
        ...


@runtime_checkable
class Model(Protocol):
    """What `Service` needs of a policy."""

    horizon: int
    width: int
    steps: int
    metadata: dict[str, Any]

    def infer(self, observation: dict[str, Any], noise: Array | None) -> dict[str, Any]:
        """Answer openpi's own request."""
        ...

    def encode(self, observation: dict[str, Any]) -> tuple[Field, Array]:
        """Return the field of an observation and its features."""
        ...


def steer(field: Field, x: Array, commanded: Array, plan: SimpleNamespace) -> tuple[Array, Array, Array]:
    """Return noise, chunk and recovered noise for references, as the product's `frs_core.steering.methods.steer` does.

    Args:
        field: of one observation.
        x: references [B, H, A], normalised.
        commanded: bool [B, A], the dimensions each command speaks for.
        plan: all settings of a steering plan.
    """
    steps, mask = plan.steps, commanded[:, None, :]
    fresh, nothing = seeded((1, *x.shape[1:]), plan.seed).astype(x.dtype), np.full_like(x, np.nan)
    if plan.method == "direct":
        return nothing, x, x
    if plan.method == "sample_and_rank":
        noises = seeded((plan.samples, *x.shape[1:]), plan.seed).astype(x.dtype)
        chunks = field.denoise(noises, steps=steps, depth=steps)
        best = _cosine(chunks[None] * commanded[:, None, None, :], x[:, None] * commanded[:, None, None, :]).argmax(
            axis=1
        )
        return noises[best], chunks[best], noises[best]
    if plan.method == "flow_control":
        is_written = np.arange(x.shape[1]) < (plan.control_rows or x.shape[1])
        noise = np.where(mask & is_written[None, :, None], x, fresh)
        return noise, field.denoise(noise, steps=steps, depth=steps), noise
    if plan.method == "partial_noising":
        t = plan.noising_time
        depth = max(1, round((1.0 - t) * steps))
        other = fresh
        if plan.leave_uncommanded and depth < steps:
            other = t * field.denoise(fresh, steps=steps, depth=steps) + (1 - t) * fresh
        start = np.where(mask, t * x + (1 - t) * fresh, other)
        return nothing, field.denoise(start, steps=steps, depth=depth), start
    depth = plan.depth or steps
    if plan.solver == "fixed_point":
        recovered = field.invert(x, steps=steps, iterations=plan.iterations, damping=plan.damping)
        depth = steps
    else:
        recovered = field.reverse(x, steps=steps, depth=depth, t_max=plan.t_max)
    if depth < steps:
        t = 1.0 - depth / steps
        fresh = t * field.denoise(fresh, steps=steps, depth=steps) + (1 - t) * fresh
    start = project_noise(recovered, commanded, plan, fresh=fresh)
    return start, field.denoise(start, steps=steps, depth=depth), recovered


def project_noise(recovered: Array, commanded: Array, plan: SimpleNamespace, *, fresh: Array) -> Array:
    """Return the noise to denoise: the recovered one's low temporal components where commanded, fresh noise elsewhere."""
    horizon, mask = recovered.shape[1], commanded[:, None, :]
    keep = horizon if plan.components is None else min(plan.components, horizon)
    n = np.arange(horizon)
    basis = np.cos(np.pi / horizon * (n[None] + 0.5) * n[:, None]) * math.sqrt(2 / horizon)
    basis[0] /= math.sqrt(2)
    low = (basis[:keep].T @ basis[:keep]).astype(recovered.dtype)
    kept = low @ recovered if keep < horizon else recovered
    if plan.clamp is not None:
        count = np.maximum(mask.sum(axis=(1, 2)) * horizon, 1)
        rms = np.sqrt((kept**2 * mask).sum(axis=(1, 2)) / count)
        kept = kept * (plan.clamp / np.maximum(rms, plan.clamp)).astype(kept.dtype)[:, None, None]
    if keep < horizon and plan.fill == "noise":
        kept = kept + plan.fill_scale * (fresh - low @ fresh)
    return np.where(mask, kept, fresh) if plan.leave_uncommanded else kept


def seeded(shape: tuple[int, ...], seed: int) -> Array:
    """Return N(0, 1) from torch's CPU generator: the numbers the product draws for the same seed."""
    import torch  # openpi imports it anyway

    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).numpy()


def _cosine(a: Array, b: Array) -> Array:
    a, b = np.broadcast_arrays(a, b)
    a, b = a.reshape(*a.shape[:2], -1), b.reshape(*b.shape[:2], -1)
    norms = np.maximum(np.linalg.norm(a, axis=-1), 1e-8) * np.maximum(np.linalg.norm(b, axis=-1), 1e-8)
    return (a * b).sum(axis=-1) / norms


class Service:
    """Answers messages with one model; see the product's docs/serving.md for the operations."""

    def __init__(self, model: Model) -> None:
        """Serve a loaded model, from the thread that calls `handle`."""
        self.model = model

    def handle(self, message: dict[str, Any], contexts: Contexts) -> dict[str, Any]:
        """Return the reply to one message; what is raised becomes the error the client sees."""
        op = message.get("op")
        if op is None:
            noise = None if message.get("noise") is None else self._chunks(message["noise"], "noise", is_stock=True)
            return self.model.infer({k: v for k, v in message.items() if k not in ("id", "noise")}, noise)
        if op == "encode":
            field, features = self.model.encode(_observation(message))
            return {"context": self._remember(field, contexts), "features": features}
        if op == "release":
            return {"released": contexts.pop(str(message.get("context")), None) is not None}
        if op == "steer":
            x, commanded = self._chunks(message.get("reference"), "reference"), message.get("commanded")
            if (
                not isinstance(commanded, np.ndarray)
                or commanded.dtype != np.bool_
                or commanded.shape != (x.shape[0], x.shape[2])
            ):
                raise MalformedMessage(f"`commanded` must be booleans of shape {(x.shape[0], x.shape[2])}.")
            plan = read_plan(message.get("plan"), candidates=x.shape[0])
            handle, field = self._context(message, contexts)
            noise, chunk, recovered = steer(field, x, commanded, plan)
            return {"context": handle, "noise": noise, "chunk": _finite(chunk), "recovered": recovered}
        if op == "denoise":
            noise, steps = self._chunks(message.get("noise"), "noise"), message.get("steps")
            steps = self.model.steps if steps is None else steps
            if type(steps) is not int or not 1 <= steps * noise.shape[0] <= MAX_WORK:
                raise MalformedMessage(
                    f"`steps` is {str(steps)[:40]!r}, expected 1..{MAX_WORK // noise.shape[0]} or nil."
                )
            handle, field = self._context(message, contexts)
            return {"context": handle, "chunk": _finite(field.denoise(noise, steps=steps, depth=steps))}
        if op == "velocity":
            x, t = self._chunks(message.get("x"), "x"), message.get("t")
            if isinstance(t, bool) or not isinstance(t, (int, float)) or not 0.0 <= t <= 1.0:
                raise MalformedMessage(f"`t` is {str(t)[:40]!r}, expected 0 (noise) to 1 (action).")
            handle, field = self._context(message, contexts)
            return {"context": handle, "v": field.velocity(x, float(t))}
        raise MalformedMessage(
            f"Operation {op!r} is unknown. Known: encode, steer, denoise, velocity, release, cancel."
        )

    def _context(self, message: dict[str, Any], contexts: Contexts) -> tuple[str, Field]:
        if message.get("observation") is not None:
            field, _ = self.model.encode(_observation(message))
            return self._remember(field, contexts), field
        handle = message.get("context")
        if not isinstance(handle, str) or handle not in contexts:
            raise ContextGone(
                f"Context {str(handle)[:40]!r} is not here (any more); a connection keeps {MAX_CONTEXTS}. "
                f"Send the observation again."
            )
        contexts.move_to_end(handle)
        return handle, contexts[handle]

    def _remember(self, field: Field, contexts: Contexts) -> str:
        handle = secrets.token_hex(8)
        contexts[handle] = field
        while len(contexts) > MAX_CONTEXTS:
            contexts.popitem(last=False)
        return handle

    def _chunks(self, value: Any, what: str, *, is_stock: bool = False) -> Array:
        shape = (self.model.horizon, self.model.width)
        if is_stock and isinstance(value, np.ndarray) and value.shape == shape:
            value = value[None]
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            raise MalformedMessage(
                f"`{what}` is a {type(value).__name__}, expected floats [B, {shape[0]}, {shape[1]}]."
            )
        if value.shape[1:] != shape or not 1 <= value.shape[0] <= MAX_CANDIDATES:
            raise MalformedMessage(
                f"`{what}` has shape {value.shape}, expected [1..{MAX_CANDIDATES}, {shape[0]}, {shape[1]}]."
            )
        with np.errstate(over="ignore"):
            array = value.astype(np.float32)
        if not np.isfinite(array).all():
            raise MalformedMessage(f"`{what}` holds numbers that are not finite.")
        return array


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = max(names, key=names.count)
        raise MalformedMessage(f"`plan` has {twice[:40]!r} twice. Remove one of the two.")
    return found


def read_plan(text: Any, *, candidates: int) -> SimpleNamespace:
    """Return the plan of a JSON text, defaults filled in.

    Raises:
        MalformedMessage: no plan, a setting of the wrong type or range, or too much work.
    """
    try:
        given = (
            json.loads(text, object_pairs_hook=_named_once) if isinstance(text, str) and len(text) <= 10_000 else None
        )
    except MalformedMessage:
        raise
    except (ValueError, RecursionError) as error:
        raise MalformedMessage(f"`plan` is no JSON: {error}") from error
    if not isinstance(given, dict) or set(given) - set(_DEFAULT_PLAN):
        raise MalformedMessage(f"`plan` must be a JSON map of {sorted(_DEFAULT_PLAN)}.")
    plan = _DEFAULT_PLAN | given
    for name, default in _DEFAULT_PLAN.items():
        value = plan[name]
        if name in _CHOICES:
            is_good = value in _CHOICES[name]
        elif isinstance(default, bool):
            is_good = isinstance(value, bool)
        elif isinstance(default, float) or name == "clamp":
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            is_good = (is_number and math.isfinite(value)) or (default is None and value is None)
        else:
            low = 0 if name == "seed" else 1
            is_good = (type(value) is int and low <= value < 2**63) or (default is None and value is None)
        if not is_good:
            raise MalformedMessage(f"Plan setting `{name}` is {str(value)[:40]!r}, which is not usable.")
    if not 0.0 <= plan["noising_time"] < 1.0 or (plan["clamp"] or 1.0) <= 0 or (plan["depth"] or 1) > plan["steps"]:
        raise MalformedMessage("Plan setting `noising_time`, `clamp` or `depth` is out of range.")
    rows = max(candidates, plan["samples"]) if plan["method"] == "sample_and_rank" else candidates
    passes = plan["iterations"] + 1 if plan["solver"] == "fixed_point" else 3
    if plan["steps"] * passes * rows > MAX_WORK:
        raise MalformedMessage(
            f"The plan asks for more than {MAX_WORK} velocity rows. Lower steps, iterations or samples."
        )
    return SimpleNamespace(**plan)


def _observation(message: dict[str, Any]) -> dict[str, Any]:
    observation = message.get("observation")
    if not isinstance(observation, dict):
        raise MalformedMessage(f"`observation` is a {type(observation).__name__}, expected openpi's DROID keys.")
    return observation


def _finite(chunk: Array) -> Array:
    if not np.isfinite(chunk).all():
        raise PolicyError("The policy gave non-finite numbers. Check the checkpoint.")
    return chunk


class JaxField:
    """The velocity field of one observation under an openpi JAX model."""

    def __init__(self, model: "OpenpiModel", context: Any, shift: Array) -> None:
        """Keep an encoded observation.

        Args:
            model: whose weights to use.
            context: keys and values, prefix mask and observation, on the device.
            shift: s [A], normalised: what the robot's state adds to an action.
        """
        self._model, self._context, self._shift = model, context, shift

    def velocity(self, x: Array, t: float) -> Array:
        """Return v of every row at time t."""
        return self._padded(x, lambda wide: self._model.jit_velocity(*self._arguments, wide, t))

    def denoise(self, x: Array, *, steps: int, depth: int) -> Array:
        """Return x after the last `depth` of `steps` steps towards the action."""
        start, h = 1.0 - depth / steps, 1.0 / steps
        return self._padded(x, lambda wide: self._model.jit_integrate(*self._arguments, wide, start, h, depth, 1.0))

    def reverse(self, x: Array, *, steps: int, depth: int, t_max: float) -> Array:
        """Return x after `depth` steps from the action towards the noise."""
        h = -1.0 / steps
        return self._padded(x, lambda wide: self._model.jit_integrate(*self._arguments, wide, 1.0, h, depth, t_max))

    def invert(self, x: Array, *, steps: int, iterations: int, damping: float) -> Array:
        """Return the noise that denoises to x."""
        return self._padded(x, lambda wide: self._model.jit_invert(*self._arguments, wide, steps, iterations, damping))

    @property
    def _arguments(self) -> tuple[Any, Any, Array]:
        return self._model.weights, self._context, self._shift

    def _padded(self, x: Array, compute: Callable[[Array], Any]) -> Array:
        """Compute on the next larger batch that is compiled already; rows do not influence each other."""
        rows = x.shape[0]
        bucket = (
            next(size for size in (1, 8, 16, 32, MAX_CANDIDATES) if size >= rows) if rows <= MAX_CANDIDATES else rows
        )
        wide = np.concatenate([x, np.zeros((bucket - rows, *x.shape[1:]), np.float32)]).astype(np.float32)
        return np.array(compute(wide))[:rows]


class OpenpiModel:
    """An openpi policy (pi0 or pi0.5 in JAX) opened up for steering."""

    def __init__(self, policy: Any, *, name: str, fingerprint: str, plan: dict[str, Any], is_position: bool) -> None:
        """Open a policy that openpi has loaded.

        Args:
            policy: an `openpi.policies.policy.Policy`.
            name: shown to operators.
            fingerprint: identifies the weights.
            plan: default steering plan.
            is_position: actions are joint angles, not speeds.
        Raises:
            ConfigError: the policy cannot be steered, or not through DROID's keys.
        """
        # Private names of openpi at commit 15a9616; there are no public ones for them.
        model = policy._model
        if not hasattr(model, "embed_suffix") or getattr(policy, "_is_pytorch_model", False):
            raise ConfigError(
                "Only openpi's JAX pi0 and pi0.5 can be steered here. Serve PyTorch weights with `frs serve`."
            )
        self.policy, self._model = policy, model
        self.horizon, self.width, self.steps = model.action_horizon, model.action_dim, 10
        self._compile()
        rest = np.array([0.0, -np.pi / 5, 0.0, -4 * np.pi / 5, 0.0, 3 * np.pi / 5, 0.0])
        black = np.zeros((224, 224, 3), np.uint8)
        self.blank = {
            "observation/exterior_image_1_left": black,
            "observation/wrist_image_left": black,
            "observation/joint_position": rest,
            "observation/gripper_position": np.zeros(1),
            "prompt": "do nothing",
        }
        inputs = policy._input_transform(dict(self.blank))
        self._offset, self._scale = self._action_units(np.asarray(inputs["state"]))
        if self._offset.size != 8:
            raise ConfigError(
                f"This policy's actions have {self._offset.size} numbers, DROID's 8. Use openpi's own server."
            )
        field, features = self.encode(self.blank)
        for rows in (1, 16):
            field.denoise(np.zeros((rows, self.horizon, self.width), np.float32), steps=self.steps, depth=self.steps)
        angles = np.array([2.8973, 1.7628, 2.8973, 3.0718, 2.8973, 0.0175, 2.8973])
        high = np.array([2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973]) if is_position else np.ones(7)
        low = -angles if is_position else -np.ones(7)
        self.metadata = {
            **policy.metadata,
            "frs": {
                "protocol": 1,
                "observation": "openpi/droid",
                "ops": ["encode", "steer", "denoise", "velocity", "release"],
                "plan": json.dumps(plan),
                "spec": {
                    "name": name,
                    "horizon": self.horizon,
                    "width": self.width,
                    "cameras": ["left", "wrist"],
                    "image_size": [224, 224],
                    "integration_steps": self.steps,
                    "execute_rows": min(8, self.horizon),
                    "feature_size": int(features.size),
                    "fingerprint": fingerprint,
                    "can_steer": True,
                    "cannot_steer_reason": "",
                    "action_space": {
                        "kind": "joint_position" if is_position else "joint_velocity",
                        "offset": self._offset,
                        "scale": self._scale,
                        "low": np.append(low, 0.0).astype(np.float32),
                        "high": np.append(high, 1.0).astype(np.float32),
                        "control_hz": 15.0,
                    },
                },
            },
        }

    def infer(self, observation: dict[str, Any], noise: Array | None) -> dict[str, Any]:
        """Answer openpi's own request as openpi does."""
        return dict(self.policy.infer(observation, noise=noise))

    def encode(self, observation: dict[str, Any]) -> tuple[JaxField, Array]:
        """Return the field of an observation and its features: masked mean and last valid token of the prefix."""
        import jax
        import jax.numpy as jnp
        from openpi.models import model as openpi_model

        try:
            inputs = self.policy._input_transform(dict(observation))
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise MalformedMessage(f"Observation cannot be read: {type(error).__name__}: {error}.") from error
        offset, _ = self._action_units(np.asarray(inputs["state"])) if hasattr(self, "_offset") else (0.0, 1.0)
        shift = np.zeros(self.width, np.float32)
        if hasattr(self, "_offset"):
            shift[: self._offset.size] = (offset - self._offset) / self._scale
        batch = jax.tree.map(lambda x: jnp.asarray(x)[None], inputs)
        prepared = openpi_model.Observation.from_dict(batch)
        context, features = self._jit_encode(self.weights, prepared)
        return JaxField(self, context, shift), np.array(features, dtype=np.float32)

    def _action_units(self, state: Array) -> tuple[Array, Array]:
        """Return offset and scale of robot units = offset + scale * normalised, for the robot's dimensions at a state."""

        def robot(x: Array) -> Array:
            chunk = np.broadcast_to(x, (self.horizon, self.width)).copy()
            return np.asarray(
                self.policy._output_transform({"state": state.copy(), "actions": chunk})["actions"], np.float64
            )

        offset = robot(np.zeros(self.width))
        scale = robot(np.ones(self.width)) - offset
        probe = np.linspace(-1.0, 1.0, self.width)
        used = offset.shape[1]
        if not np.allclose(robot(probe), offset + scale * probe[:used], atol=1e-4) or not (scale > 0).all():
            raise ConfigError(
                "This policy's output transforms are not a scale and an offset per dimension; it cannot be steered."
            )
        return offset[0].astype(np.float32), scale[0].astype(np.float32)

    def _compile(self) -> None:
        """Prepare the jitted functions; they compile on first use."""
        import einops
        import flax.nnx as nnx
        import jax
        import jax.numpy as jnp
        from openpi.models import model as openpi_model
        from openpi.models.pi0 import make_attn_mask

        graphdef, self.weights = nnx.split(self._model)
        horizon = self.horizon

        def encode(weights: Any, observation: Any) -> Any:
            model = nnx.merge(graphdef, weights)
            observation = openpi_model.preprocess_observation(None, observation, train=False)
            tokens, mask, ar = model.embed_prefix(observation)
            attend, places = make_attn_mask(mask, ar), jnp.cumsum(mask, axis=1) - 1
            (out, _), cache = model.PaliGemma.llm([tokens, None], mask=attend, positions=places)
            out, valid = out[0].astype(jnp.float32), mask[0]
            mean = (out * valid[:, None]).sum(axis=0) / valid.sum()
            last = out[jnp.max(jnp.where(valid, jnp.arange(valid.size), 0))]
            return (cache, mask, observation), jnp.concatenate([mean, last])

        def field(weights: Any, context: Any, shift: Any, y: Any, t: Any) -> Any:
            model, (cache, mask, observation), rows = nnx.merge(graphdef, weights), context, y.shape[0]
            x = y - t * shift
            wide = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (rows, *leaf.shape[1:])), observation)
            # Their time runs from action to noise, and so does their velocity.
            tokens, own, ar, condition = model.embed_suffix(wide, x, jnp.full((rows,), 1.0 - t, jnp.float32))
            size = tokens.shape[1]
            blocks = jnp.kron(jnp.eye(rows, dtype=jnp.int8), make_attn_mask(own[:1], ar)[0].astype(jnp.int8)) > 0
            attend = jnp.concatenate([jnp.broadcast_to(mask, (rows * size, mask.shape[1])), blocks], axis=1)
            places = jnp.tile(mask.sum(axis=1, keepdims=True) + jnp.arange(size)[None], (1, rows))
            (_, out), _ = model.PaliGemma.llm(
                [None, einops.rearrange(tokens, "b s d -> 1 (b s) d")],
                mask=attend[None],
                positions=places,
                kv_cache=cache,
                adarms_cond=[None, None if condition is None else condition[:1]],
            )
            out = einops.rearrange(out, "1 (b s) d -> b s d", b=rows)[:, -horizon:]
            return shift - model.action_out_proj(out).astype(jnp.float32)

        def integrate(
            weights: Any, context: Any, shift: Any, x: Any, start: Any, h: Any, count: Any, t_max: Any
        ) -> Any:
            def step(k: Any, x: Any) -> Any:
                return x + h * field(weights, context, shift, x, jnp.minimum(start + k * h, t_max))

            return jax.lax.fori_loop(0, count, step, x)

        def invert(weights: Any, context: Any, shift: Any, x: Any, steps: Any, iterations: Any, damping: Any) -> Any:
            h = 1.0 / steps

            def back(k: Any, target: Any) -> Any:
                t = (steps - 1 - k) * h

                def refine(_: Any, guess: Any) -> Any:
                    better = target - h * field(weights, context, shift, guess, t)
                    return (1.0 - damping) * guess + damping * better

                return jax.lax.fori_loop(0, iterations, refine, target)

            return jax.lax.fori_loop(0, steps, back, x)

        self._jit_encode = jax.jit(encode)
        self.jit_velocity, self.jit_integrate, self.jit_invert = jax.jit(field), jax.jit(integrate), jax.jit(invert)


def fingerprint_of(policy: Any, name: str) -> str:
    """Return a hash of the configuration's name and of a sample of every weight."""
    import flax.nnx as nnx
    import jax

    digest = hashlib.sha256(name.encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(nnx.split(policy._model)[1]):
        digest.update(f"{jax.tree_util.keystr(path)} {leaf.shape}".encode())
        digest.update(np.asarray(leaf.reshape(-1)[:64], dtype=np.float32).tobytes())
    return f"openpi:{digest.hexdigest()[:32]}"


def parse_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description="Serve an openpi JAX policy so that it can be steered.")
    parser.add_argument("--config", required=True, help="openpi training config, e.g. pi05_droid")
    parser.add_argument("--dir", required=True, help="checkpoint directory or gs:// address")
    parser.add_argument(
        "--action-space",
        choices=("joint_velocity", "joint_position"),
        default=None,
        help=f"what the actions are; known for {', '.join(ACTION_SPACES)}",
    )
    parser.add_argument("--plan", type=Path, default=None, help="JSON file with the default steering plan")
    parser.add_argument("--default-prompt", default=None, help="used when a client sends none")
    parser.add_argument("--host", default="127.0.0.1", help="anything but loopback needs a token")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--token-file", type=Path, default=None, help="file with the token (else FRS_TOKEN)")
    parser.add_argument("--tls-cert", type=Path, default=None)
    parser.add_argument("--tls-key", type=Path, default=None)
    parser.add_argument("--verbose", action="store_true", help="show where errors come from")
    options = parser.parse_args()
    options.action_space = options.action_space or ACTION_SPACES.get(options.config)
    if options.action_space is None:
        parser.error(
            f"what the actions of config '{options.config}' mean is not known; "
            f"pass --action-space joint_velocity or joint_position"
        )
    return options


class OneLine(logging.Formatter):
    """Formats a record as one line, an exception as its last words."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        plain = copy.copy(record)
        plain.exc_info = plain.exc_text = plain.stack_info = None
        error = record.exc_info[1] if record.exc_info else None
        return " ".join((super().format(plain) + (f": {type(error).__name__}: {error}" if error else "")).split())


def main() -> None:
    """Load the policy, compile, and serve; what stops it is one line, and with --verbose a traceback."""
    options = parse_arguments()
    form = "%(asctime)s %(levelname)s %(message)s"
    logging.basicConfig(level=logging.INFO, format=form)
    if not options.verbose:
        for handler in logging.getLogger().handlers:
            handler.setFormatter(OneLine(form))
    logging.getLogger("websockets.server").setLevel(logging.CRITICAL)
    try:
        load_and_serve(options)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        if options.verbose:
            raise
        what = "" if isinstance(error, ConfigError | ServingError) else f"{type(error).__name__}: "
        said = f"openpi_server.py: {what}{' '.join(str(error).split())} (--verbose shows where)"
        raise SystemExit(said) from None


def load_and_serve(options: argparse.Namespace) -> None:
    """Load the policy, compile, and serve until SIGINT or SIGTERM. Raises what openpi and the system raise."""
    token = options.token_file.read_text().strip() if options.token_file else os.environ.get("FRS_TOKEN") or None
    settings = ServerSettings(options.host, options.port, token, options.tls_cert, options.tls_key)
    require_port(settings)
    from openpi.policies import policy_config
    from openpi.training import config as training_config

    loaded = policy_config.create_trained_policy(
        training_config.get_config(options.config), options.dir, default_prompt=options.default_prompt
    )
    plan = vars(read_plan(options.plan.read_text() if options.plan else "{}", candidates=1))
    logger.info("Compiling; this takes a minute or two")
    model = OpenpiModel(
        loaded,
        name=options.config,
        fingerprint=fingerprint_of(loaded, options.config),
        plan=plan,
        is_position=options.action_space == "joint_position",
    )
    server = WebsocketServer(Service(model).handle, model.metadata, settings)
    server.run(lambda: logger.info("Serving %s on %s:%d", options.config, options.host, server.port))


if __name__ == "__main__":
    main()
