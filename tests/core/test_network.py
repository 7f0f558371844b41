"""Networks as laboratories have them: proxies, servers that compile for minutes, pipes that close, terminals of another alphabet."""

import contextlib
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from websockets.sync.server import ServerConnection, serve

from frs_core.choosers.chat import ChatEndpoint
from frs_core.errors import ConfigError, DownloadFailed, ModelRefused, PolicyError, ServingError
from frs_core.learning import Practice
from frs_core.making.pi05.fetch import Endpoints, list_hub
from frs_core.policies import NamedPolicy, remote
from frs_core.runtime.address import shown
from frs_core.runtime.registry import storable
from frs_core.wire import client as wire_client
from frs_core.wire import proxy as proxies
from frs_core.wire.client import ClientSettings, WireClient
from frs_core.wire.codec import pack
from frs_core.wire.proxy import proxy_for
from frs_core.worlds.droid.connection import Connection
from tests.waiting import LONG_S

TRACE = "Traceback (most recent call last):\n" + "".join(
    f'  File "m.py", line {i}, in step\n    return step({i}, note="x: y")\n' for i in range(60)
)
TRACE += "jax.errors.Shape: no: CAUSE \x1b[31m\n"
ROOT = Path(__file__).parents[2]
DEAD = "http://ada:secret@127.0.0.1:9"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def stock() -> Iterator[str]:
    def talk(socket: ServerConnection) -> None:
        socket.send(pack({}))
        for _ in socket:
            socket.send(pack({"actions": np.zeros((15, 8))}))

    with serve(talk, "127.0.0.1", 0, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join(LONG_S)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "localhost", "10.1.2.3", "192.168.0.7", "172.20.0.1", "169.254.1.1"]
)
def test_near_addresses_never_go_through_the_environments_proxy(host, monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", DEAD)
    monkeypatch.setenv("https_proxy", DEAD)
    assert proxy_for(f"ws://{host}:8000") is None
    assert proxy_for(f"wss://{host}:8000") is None


@pytest.mark.parametrize(("address", "is_near"), [("10.0.0.9", True), ("100.64.0.3", True), ("8.8.8.8", False)])
def test_a_name_counts_by_the_addresses_it_leads_to(address, is_near, monkeypatch) -> None:
    monkeypatch.setenv("https_proxy", DEAD)
    monkeypatch.setattr(proxies.socket, "getaddrinfo", lambda *args, **more: [(2, 1, 6, "", (address, 0))])
    assert (proxy_for("ws://gpu-box:8000") is None) is is_near


def test_public_addresses_take_the_environments_proxy_unless_no_proxy_names_them(monkeypatch) -> None:
    monkeypatch.setenv("https_proxy", DEAD)
    assert proxy_for("wss://8.8.8.8:8000") == DEAD
    monkeypatch.setenv("no_proxy", "8.8.8.8")
    assert proxy_for("wss://8.8.8.8:8000") is None


@pytest.mark.parametrize(
    ("url", "listed"),
    [
        ("ws://[2606:4700::1111]:8000", "2606:4700::1111"),
        ("ws://[2606:4700::1111]:8000", "[2606:4700:0:0::1111]"),
        ("ws://[2606:4700::1111]:8000", "x, [2606:4700::1111]:8000"),
        ("ws://[2606:4700::1111]:8000", "2606:4700::/32"),
        ("ws://8.8.8.8:8000", "8.8.0.0/16"),
        ("ws://8.8.8.8:8000", "8.8.8.*"),
        ("ws://8.8.8.8:8000", "9.9.9.9;8.8.8.8"),
        ("ws://8.8.8.8:8000", "9.9.9.9 8.8.8.8:8000"),
        ("ws://gpu.example.invalid:8000", ".example.invalid"),
        ("ws://gpu.example.invalid:8000", "*.EXAMPLE.invalid"),
        ("ws://gpu.example.invalid:8000", "*"),
    ],
)
@pytest.mark.parametrize("variable", ["no_proxy", "NO_PROXY"])
def test_no_proxy_names_a_host_a_domain_an_address_or_a_range(url, listed, variable, monkeypatch) -> None:
    monkeypatch.setattr(proxies, "is_near", lambda host: False)
    monkeypatch.setenv("http_proxy", DEAD)
    monkeypatch.setenv("no_proxy", "8.8.8.8:9000, 2606:4700::/48x, xample.invalid, 8.8.9.0/24")
    assert proxy_for(url) == DEAD
    monkeypatch.setenv("no_proxy", " ")
    monkeypatch.setenv(variable, listed)
    assert proxy_for(url) is None


@pytest.mark.parametrize("url", ["ws://[2606:4700::1111]:8000", "http://[2606:4700::1111]/v1"])
def test_the_way_around_a_proxy_that_an_error_names_leads_around_it(url, monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", DEAD)
    with pytest.raises((ServingError, PolicyError)) as refused:
        remote.load(url) if url.startswith("ws") else ChatEndpoint(url).answer(b"{}")
    monkeypatch.setenv("no_proxy", str(refused.value).partition("no_proxy=")[2].split()[0])
    assert proxy_for(url) is None


@pytest.mark.parametrize(
    "proxy",
    [
        "ada:secret@127.0.0.1:9",
        "http://a da:secret@127.0.0.1:9",
        "ada:/sec secret@127.0.0.1:9",
        " ada:secret#?@127.0.0.1:9 ",
    ],
)
def test_a_proxys_password_is_not_shown_however_it_is_written(proxy, monkeypatch) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, proxy)
    said = list[str]()
    with pytest.raises(ServingError, match=r"through the proxy http://127\.0\.0\.1:9: Connection refused") as refused:
        remote.load("ws://8.8.8.8:8000")
    said.append(str(refused.value))
    with pytest.raises(
        DownloadFailed, match=r"through the proxy http://127\.0\.0\.1:9 .*\(Connection refused\)"
    ) as failed:
        list_hub("owner/name", endpoints=Endpoints(hub="https://8.8.8.8"))
    said.append(str(failed.value))
    with pytest.raises(PolicyError, match=r"http://127\.0\.0\.1:9 .*: Connection refused\. Start it") as unreachable:
        ChatEndpoint("http://8.8.8.8/v1").answer(b"{}")
    said.append(str(unreachable.value))
    assert not any(word in text for word in ("secret", "ada", "sec", "urlopen", "Errno") for text in said)


@pytest.mark.parametrize("variable", ["https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "https"])
def test_a_proxy_that_downloads_cannot_go_through_is_said_to_be_one(variable, scheme, monkeypatch) -> None:
    monkeypatch.setenv(variable, f"{scheme}://ada:secret@127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"neither SOCKS nor TLS ones.*no_proxy=8\.8\.8\.8") as refused:
        list_hub("owner/name", endpoints=Endpoints(hub="https://8.8.8.8"))
    with pytest.raises(ModelRefused, match="neither SOCKS nor TLS ones"):
        ChatEndpoint("https://8.8.8.8/v1").answer(b"{}")
    assert "secret" not in str(refused.value)


def test_all_proxy_counts_for_downloads(monkeypatch) -> None:
    monkeypatch.setenv("ALL_PROXY", DEAD)
    assert proxy_for("https://8.8.8.8/") == DEAD
    assert proxy_for("http://8.8.8.8/") == DEAD


def test_a_proxy_that_is_given_is_used_even_for_this_machine() -> None:
    assert proxy_for("ws://127.0.0.1:8000", given=DEAD) == DEAD


@pytest.mark.parametrize("url", ["ws://8.8.8.8:8000", "wss://8.8.8.8:8000"])
def test_all_proxy_counts_where_no_other_variable_is_set(url, monkeypatch) -> None:
    for name in ("ws_proxy", "wss_proxy", "socks_proxy", "http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:9")
    assert proxy_for(url) == "socks5h://127.0.0.1:9"
    monkeypatch.setenv("https_proxy", DEAD)
    assert proxy_for(url) == DEAD


def test_a_model_on_this_machine_is_asked_beside_a_proxy_and_one_elsewhere_is_refused_with_its_name(
    monkeypatch,
) -> None:
    monkeypatch.setenv("http_proxy", DEAD)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    near = ChatEndpoint("http://127.0.0.1:1/v1")
    with pytest.raises(PolicyError, match=r"cannot be reached: .*refused") as beside:
        near.answer(b"{}")
    assert "proxy" not in str(beside.value)
    with pytest.raises(PolicyError, match=r"through the proxy http://127\.0\.0\.1:9 \(no_proxy=8\.8\.8\.8 goes"):
        ChatEndpoint("http://8.8.8.8/v1").answer(b"{}")


def test_a_proxys_password_is_not_shown() -> None:
    assert shown(DEAD) == "http://127.0.0.1:9"


@pytest.mark.parametrize("proxy", [DEAD, "socks5h://127.0.0.1:9", "127.0.0.1:9"])
def test_an_error_names_the_proxy_and_the_way_around_it(proxy, stock) -> None:
    with pytest.raises(ServingError, match=r"through the proxy .*127\.0\.0\.1:9.*no_proxy=127\.0\.0\.1") as error:
        remote.load(stock, proxy=proxy)
    assert "secret" not in str(error.value)


def test_a_server_on_this_machine_is_reached_beside_a_proxy(stock, monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", DEAD)
    policy = remote.load(stock)
    assert policy.spec.horizon == 15
    policy.close()


def test_a_token_in_an_address_is_not_shown() -> None:
    client = WireClient(ClientSettings("ws://127.0.0.1:9/?token=secret", connect_timeout_s=1.0))
    for _ in range(2):
        with pytest.raises(ServingError, match=r"ws://127\.0\.0\.1:9/") as refused:
            client.connect()
        assert "secret" not in str(refused.value)
    assert shown("no server at 'wss://a:b@h/v1?key=secret#x': timed out") == "no server at 'wss://h/v1?…': timed out"


@pytest.mark.parametrize(
    ("address", "as_shown"),
    [
        ("ws://ada:pw/pw@h:8000/x", "ws://h:8000/x"),
        ("ws://h:8000/owner/@scope", "ws://h:8000/owner/@scope"),
        ("https://h/a?b=c and https://u@h/d#e", "https://h/a?… and https://h/d?…"),
        ("ada:secret@proxy:3128", "proxy:3128"),
        ("http://us er:secret@proxy:3128", "http://proxy:3128"),
        ("http://ada:se cr@e#t?@proxy:3128/x", "http://proxy:3128/x"),
        ("socks5h://ada:12/34@proxy:1080", "socks5h://proxy:1080"),
        ("write to ada@example.org", "write to ada@example.org"),
        ("Failed: ada@example.org", "Failed: ada@example.org"),
    ],
)
def test_an_address_is_shown_without_what_is_secret_and_otherwise_as_it_is(address: str, as_shown: str) -> None:
    assert shown(address) == as_shown


def test_an_option_is_stored_without_what_is_secret_in_an_address() -> None:
    given = {
        "path": "wss://ada:pw@gpu:8000/v1?token=x",
        "token": "t",
        "weights": "a//b?c",
        "horizon": 15,
        "is_on": True,
    }
    kept = storable("policy", "remote", given)
    assert kept == {"path": "wss://gpu:8000/v1?…", "weights": "a//b?c", "horizon": 15, "is_on": True}
    assert NamedPolicy("remote", given).stored.options == kept
    with pytest.raises(ConfigError, match="was left out where it was stored"):
        WireClient(ClientSettings(str(kept["path"])))


@pytest.mark.parametrize("address", ["http://ada:pw@h/v1", "http://h/v1?key=pw", "http://h/v1#pw"])
def test_a_server_whose_address_has_no_room_for_a_secret_refuses_one_without_showing_it(address: str) -> None:
    with pytest.raises(ConfigError, match="a secret is given in the variable FRS_VLM_KEY") as refused:
        Practice(vlm=address)
    assert "pw" not in str(refused.value)
    with pytest.raises(ConfigError, match="a secret is given as FRS_BRIDGE_TOKEN") as refused:
        Connection(address.replace("http", "tcp"))
    assert "pw" not in str(refused.value)


def test_no_ping_has_a_deadline_before_the_first_answer_and_each_has_one_after_it(stock) -> None:
    client = WireClient(ClientSettings(stock))
    client.connect()
    opened = client._required()
    assert opened.ping_timeout is None
    client.ask({"prompt": "x"}, timeout_s=10.0, has_ids=False)
    assert opened.ping_timeout == wire_client._PING_S
    client.close()


def run(*words: str, **environment: str) -> subprocess.Popen[bytes]:
    code = "from frs_core.cli import main; import sys; sys.exit(main(sys.argv[1:]))"
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", code, *words], env=variables, cwd=ROOT, **pipes)


def test_a_terminal_without_our_signs_gets_them_spelled_out() -> None:
    words = ("episodes", "list", "--data", "data/example")
    out, err = run(*words, PYTHONIOENCODING="ascii", PYTHONUTF8="0").communicate(LONG_S)
    assert b"Traceback" not in err
    assert b"\\u2713 success" in out


@pytest.mark.parametrize("words", [("--help",), ("episodes", "list", "--data", "data/example")])
def test_a_reader_that_leaves_early_is_no_error(words) -> None:
    process = run(*words)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait(LONG_S) in (0, -signal.SIGPIPE)
    process.stderr.close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ws://[::1", "Invalid IPv6 URL"),
        ("ws://host:99999", "Port out of range"),
        ("ws://host:abc", "'abc'"),
        ("ws://a..b", "label empty"),
        ("ws://" + "a" * 70 + ".example", "too long"),
        ("http://ada:secret@host", "http://host"),
        ("ftp://host:8000/?token=secret#secret", "its scheme is 'ftp'"),
        ("host:8000", "its scheme is 'host'"),
        ("ws://", "it names no host"),
        ("ws://:8000", "it names no host"),
        ("ws://host:0", "port 0"),
        ("ws://ho st:8000", "it holds a space"),
        ("ws://host:8000\n", "line break"),
        ("ws://ho\tst", "it holds a space"),
        ("ws://host\x1b[2J", "another character"),
        ("ws://[fe80::1%]:8000", "not usable"),
        ("ws://[::g]:8000", "not usable"),
        ("", "its scheme is ''"),
    ],
)
def test_an_address_that_is_none_is_refused_before_anything_is_sent(url, words) -> None:
    with pytest.raises(ConfigError, match=r"Write ws://host:8000") as refused:
        WireClient(ClientSettings(url))
    assert words in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("token", ["s3cret\n", "s3cret\r\nX-Admin: 1", "s3 cret", "s3cret\x00"])
def test_a_token_that_no_header_carries_is_refused_without_being_shown(token) -> None:
    with pytest.raises(ConfigError, match="a line break") as refused:
        WireClient(ClientSettings("ws://127.0.0.1:9", token))
    assert "s3" not in str(refused.value)


def test_the_password_in_a_servers_address_is_not_shown() -> None:
    with pytest.raises(ServingError, match=r"No policy server at ws://127\.0\.0\.1:9: ") as refused:
        WireClient(ClientSettings("ws://ada:secret@127.0.0.1:9")).connect()
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_a_certificate_file_that_cannot_be_used_is_named(text, tmp_path) -> None:
    path = tmp_path / "lab.pem"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=r"lab\.pem' cannot be used as tls_ca"):
        WireClient(ClientSettings("wss://127.0.0.1:9", tls_ca=path)).connect()


def test_a_server_of_something_else_that_greets_with_text_is_quoted() -> None:
    with serve(lambda socket: socket.send("hello\x1b[2J"), "127.0.0.1", 0, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
            with pytest.raises(ServingError, match="not as a policy server: It greets with the text 'hello") as refused:
                WireClient(ClientSettings(url, connect_timeout_s=LONG_S)).connect()
        finally:
            server.shutdown()
            thread.join(LONG_S)
    assert "\x1b" not in str(refused.value)
    assert ".." not in str(refused.value)


class _Refusing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    status = 403
    seen: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def do_GET(self) -> None:
        self.seen.append(self.path)
        self.send_response(self.status)
        self.send_header("Location", f"ws://127.0.0.1:{self.server.server_port}/elsewhere?token=x")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        return


@contextlib.contextmanager
def refusing(status: int) -> Iterator[int]:
    """Within, everything on this port is answered with a status."""
    handler = type("Refusing", (_Refusing,), {"status": status, "seen": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join(LONG_S)
    assert len(handler.seen) == 1


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_policy_server_that_sends_elsewhere_is_not_followed(status) -> None:
    with (
        refusing(status) as port,
        pytest.raises(ServingError, match=rf"HTTP status {status}\), to ws://127.0.0.1:{port}/elsewhere\?…; nothing"),
    ):
        remote.load(f"ws://127.0.0.1:{port}", token="secret")


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (403, ModelRefused, "or the proxy before it, refused"),
        (407, ModelRefused, "wants a user and password"),
        (502, PolicyError, "or the proxy before it, refused"),
    ],
)
def test_a_proxy_that_refuses_what_it_reads_is_named(status, kind, words, monkeypatch) -> None:
    with refusing(status) as port:
        monkeypatch.setenv("http_proxy", f"http://ada:secret@127.0.0.1:{port}")
        with pytest.raises(kind, match=rf"{words}.*the proxy http://127.0.0.1:{port} \(no_proxy=8.8.8.8") as refused:
            ChatEndpoint("http://8.8.8.8/v1").answer(b"{}")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("proxy", ["http://ada:secret@proxy:notaport", "http://", ":::", "http://[::1", "proxy:0"])
def test_a_proxy_that_is_none_is_refused_by_the_name_of_its_variable(proxy, monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(ConfigError, match=r"of http_proxy is not usable: .*no_proxy=8\.8\.8\.8") as refused:
        remote.load("ws://8.8.8.8:8000")
    with pytest.raises(ModelRefused, match="of http_proxy is not usable"):
        ChatEndpoint("http://8.8.8.8/v1").answer(b"{}")
    assert "secret" not in str(refused.value)
    with pytest.raises(ConfigError, match="of proxy is not usable"):
        remote.load("ws://127.0.0.1:8000", proxy=proxy)


@contextlib.contextmanager
def talking(talk: Callable[[ServerConnection], object], **options: Any) -> Iterator[int]:
    """Within, a WebSocket server listens on this port."""
    with serve(talk, "127.0.0.1", 0, compression=None, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.socket.getsockname()[1]
        finally:
            server.shutdown()
            thread.join(LONG_S)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for the name "gpu-box", with its key beside it."""
    folder = tmp_path_factory.mktemp("tls")
    name = ["-subj", "/CN=gpu-box", "-addext", "subjectAltName=DNS:gpu-box"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *files, *name]
    subprocess.run(words, check=True, capture_output=True, timeout=LONG_S)
    return folder / "cert.pem"


def test_each_way_to_miss_tls_has_its_own_advice(certificate) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    with talking(lambda socket: socket.send(pack({})), ssl=context) as port:
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(ServingError, match=f"for another name than '{host}'. Connect by the name"):
                remote.load(f"wss://{host}:{port}", tls_ca=certificate, connect_timeout_s=LONG_S)
        with pytest.raises(ServingError, match=r"self-signed certificate\. Give its certificate with tls_ca"):
            remote.load(f"wss://127.0.0.1:{port}", connect_timeout_s=LONG_S)
        with pytest.raises(ServingError, match="If it speaks TLS, write wss://"):
            remote.load(f"ws://127.0.0.1:{port}", connect_timeout_s=LONG_S)
    with (
        talking(lambda socket: socket.send(pack({}))) as port,
        pytest.raises(ServingError, match=r"does not speak TLS\. If the server has no certificate, write ws://"),
    ):
        remote.load(f"wss://127.0.0.1:{port}", connect_timeout_s=LONG_S)


@pytest.mark.parametrize("text", [TRACE, TRACE.replace("no: ", "no:\n  ")])
def test_a_servers_traceback_is_told_by_its_cause(text) -> None:
    def talk(socket: ServerConnection) -> None:
        socket.send(pack({}))
        socket.recv()
        socket.send(text)

    with talking(talk) as port, pytest.raises(PolicyError) as told:
        remote.load(f"ws://127.0.0.1:{port}", connect_timeout_s=LONG_S)
    assert str(told.value).startswith("The policy server reports an error: jax.errors.Shape: no:")
    assert r"CAUSE \x1b[31m" in str(told.value)
    assert "\x1b" not in str(told.value)
    assert 'File "m.py", line 59' in str(told.value)
    assert len(str(told.value)) < 2200


def test_a_connection_that_a_server_closes_is_said_to_be_closed() -> None:
    def talk(socket: ServerConnection) -> None:
        socket.send(pack({}))
        socket.recv()

    with (
        talking(talk) as port,
        pytest.raises(ServingError, match=r"was lost: the server closed it\. The next"),
    ):
        remote.load(f"ws://127.0.0.1:{port}", connect_timeout_s=LONG_S)
