"""The serve command, as a process and in its parts."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from frs_core.commands.serve import describe_address, read_token, serve
from frs_core.errors import ConfigError, ServingError
from frs_core.policies import remote
from frs_core.serving.websocket_server import ServerSettings, require_port
from tests.fakes.certificate import make_certificate
from tests.waiting import LONG_S

TOKEN = "0123456789abcdef-secret"


def test_the_token_is_read_from_the_file_before_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRS_TOKEN", TOKEN)
    assert read_token(None) == TOKEN
    file = tmp_path / "token"
    file.write_text("another-token-of-the-lab\nsecond line\n")
    assert read_token(file) == "another-token-of-the-lab"
    monkeypatch.delenv("FRS_TOKEN")
    assert read_token(None) is None


def test_a_missing_or_empty_token_file_is_an_error_not_an_open_door(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read: No such file or directory\. Make"):
        read_token(tmp_path / "none")
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ConfigError, match="is empty"):
        read_token(tmp_path / "empty")


def test_an_unencrypted_public_address_comes_with_instructions(tmp_path: Path) -> None:
    assert "Warning" not in describe_address(ServerSettings(), 8000)
    public = describe_address(ServerSettings(host="0.0.0.0", token=TOKEN), 8000)
    assert "--tls-cert" in public
    assert "ssh -L 8000" in public
    assert TOKEN not in public
    cert, key = make_certificate(tmp_path)
    with_tls = ServerSettings(host="0.0.0.0", token=TOKEN, tls_cert=cert, tls_key=key)
    assert "Warning" not in describe_address(with_tls, 8000)


def test_the_command_serves_a_policy_until_it_is_told_to_stop() -> None:
    code = (
        "import frs_core.commands.serve as s\n"
        "raise SystemExit(s.serve(policy='tests.fakes.policy:ToyPolicy', port=0, token_file=None))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"FRS_TOKEN": TOKEN, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
    )
    assert process.stderr is not None
    with process.stderr:
        lines = [process.stderr.readline(), process.stderr.readline()]
        try:
            assert lines[0].startswith("toy · 8 x 7")
            assert "token required" in lines[1]
            url = lines[1].split()[2]
            policy = remote.load(url, token=TOKEN)
            assert policy.spec.name == "toy"
            policy.close()
            process.send_signal(signal.SIGTERM)
            assert process.wait(LONG_S) == 0
        finally:
            process.kill()
            process.wait(LONG_S)


def test_what_a_client_breaks_is_one_line_of_the_log() -> None:
    import logging
    import sys

    from frs_core.commands.serve import OneLine

    try:
        raise EOFError("connection closed\nwhile reading ws://a:b@host/?token=secret")
    except EOFError:
        record = logging.LogRecord("x", logging.ERROR, "", 1, "opening handshake failed", (), sys.exc_info())
    said = OneLine("%(levelname)s %(message)s").format(record)
    assert said == "ERROR opening handshake failed: EOFError: connection closed while reading ws://host/?…"
    stack = OneLine("%(levelname)s %(message)s", has_stacks=True).format(record).splitlines()
    assert stack[:2] == ["ERROR opening handshake failed", "Traceback (most recent call last):"]
    assert stack[-1] == "while reading ws://host/?…"


def test_an_address_of_numbers_is_written_in_brackets() -> None:
    assert describe_address(ServerSettings(host="::1"), 8124) == "Serving on ws://[::1]:8124"


def test_a_port_that_is_taken_is_said_before_anything_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServingError, match=f"Cannot listen on 127.0.0.1:{port}: .*in use. Choose another port"):
            serve(policy="tests.fakes.policy:NothingLikeIt", port=port)
    require_port(ServerSettings(port=port))
    require_port(ServerSettings(port=0))
