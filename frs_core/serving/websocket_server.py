"""A websocket server in front of one worker thread: it knows messages, limits and tokens, but no policy.

Problem: inference takes tens of milliseconds and must not be shared between threads, while clients come, go, stall, flood
and send garbage. Idea: an event loop handles all clients and never computes; one worker thread only computes.
Everything a client can grow is bounded: message size, entries, connections, unanswered requests, unsent bytes, time.

On connect the server sends its metadata. Each binary frame is one message (see `codec`). A message without `op` is
openpi's: it gets a map with `actions` back, or a text frame with the error. A message with `op` gets a map with its `id`
and either results or `error` = {type, message}. {"op": "cancel", "id": 8, "target": 7} answers 7 with error `Cancelled`.
GET /healthz answers 200, or 503 when one inference has been running for `stall_s`.

Example: WebsocketServer(lambda message, contexts: {"actions": np.zeros((15, 8))}, {}, ServerSettings()).run() is a whole openpi server.

Threads: the event loop's (whoever calls `run`) and the worker's (`handle` alone runs there). The part between the marks is
kept word for word in `openpi_server.py`, which must stand alone.
"""

import asyncio
import contextlib
import hmac
import http
import ipaddress
import logging
import os
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
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from frs_core.errors import ConfigError, MalformedMessage, ServerBusy, ServingError
from frs_core.wire.codec import pack, unpack

__all__ = ["Contexts", "ServerSettings", "WebsocketServer", "is_loopback"]

logger = logging.getLogger("frs.serving")

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
