"""Inputs that no command can use: refused in one sentence, with what is there, and never with a traceback."""

import dataclasses
import inspect
import logging
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from frs_core import cli, policies, worlds
from frs_core.errors import ConfigError
from frs_core.learning.registry import KNOWN as LEARNERS
from frs_core.learning.request import Practice
from frs_core.runtime.bounds import Bounds, _bounds_in, hints_of
from frs_core.runtime.registry import resolve
from frs_core.runtime.typed import bare, hints_of_call
from frs_core.worlds.droid import DroidConfig
from tests.texts import ROOT
from tests.waiting import LONG_S

LONG = "a" * 300
PYTHONS_OWN = ("Traceback", "Errno", "TypeError", "object is not", "object has no", "invalid literal")


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Return the exit status of a command and all that it printed."""
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    printed = capsys.readouterr()
    assert isinstance(stop.value.code, int)
    return stop.value.code, " ".join((printed.out + printed.err).split())


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Return a folder with everything that is no folder of recordings."""
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "store").mkdir()
    (tmp_path / "store/episodes").write_text("x")
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["episodes", "list"],
        ["episodes", "stats"],
        ["episodes", "check"],
        ["episodes", "show", "last"],
        ["episodes", "export", "last", "--format", "mp4", "--out", "x"],
        ["episodes", "recover"],
        ["train", "list"],
        ["train", "dsbc", "--task", "x"],
        ["compare"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("file", "is a file"),
        ("pipe", "is a named pipe"),
        ("dangling", "is a link to"),
        ("loop", "is a link that leads back to itself"),
        ("file/within", "does not exist"),
        ("nothing", "does not exist"),
        ("store", "is a file, expected a folder"),
    ],
)
def test_a_recording_folder_that_is_none_is_said_to_be_what_it_is(
    words: list[str], name: str, there: str, odd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = said([*words, "--data", str(odd / name)], capsys)
    assert code == 2
    assert there in text
    assert not any(own in text for own in PYTHONS_OWN)


def test_a_recording_folder_that_cannot_be_made_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path and may(path, mode))
    code, text = said(["collect", "x", "--data", str(tmp_path / "new/deep")], capsys)
    assert code == 2
    assert f"new/deep' does not exist, and '{tmp_path}' cannot be written to make it" in text


def test_the_doctor_says_what_is_in_the_place_of_the_recording_folder(odd: Path) -> None:
    from frs_core.doctor import check_disk

    (finding,) = check_disk(odd / "pipe")
    assert "is a named pipe" in finding.text
    assert "chown" not in finding.fix


@pytest.mark.parametrize(
    ("words", "there"),
    [
        (["policy", "check", LONG], "PATH has a name of 300 bytes"),
        (["serve", "--path", LONG], "File name too long"),
        (["serve", "--token-file", LONG], "--token-file has a name of 300 bytes"),
        (["eval", "show", LONG], "has a name of 300 bytes"),
        (["demo", "--out", f"new/{LONG}"], "--out has a name of 300 bytes"),
        (["episodes", "import", "x/" * 3000, "--format", "droid"], "has a path of"),
        (["episodes", "relabel", "x", "--note", "caf\udce9"], "--note has 'caf\\udce9', which is no UTF-8"),
        (["train", "dsbc", "--task", "\udcff"], "--task has"),
        (["episodes", "list", "--task", "a\0b"], "zero byte"),
        (["episodes", "list", "--data", "a\0b"], "zero byte"),
        (["serve", "--policy-options", "path", "\udcff"], "--policy-options has"),
        (
            ["serve", "--policy-options", "path", "a", "n", "1", "path", "b"],
            "Option 'path' is given twice, as 'a' and 'b'. Give it once.",
        ),
        (["serve", "--policy-options", "token", "a", "token", "b"], "Option 'token' is given twice. Give it once."),
        (["serve", "--policy-options", "path"], "Option 'path' has no value. Write NAME VALUE NAME VALUE."),
        (["episodes", "check", "--policy", "nope"], "Unknown policy 'nope'"),
        (["episodes", "check", "--policy", "tabletop", "--policy-options", "nope", "1"], "has no option 'nope'"),
        (["episodes", "import", "a\0b", "--format", "droid"], "SOURCE has"),
        (["episodes", "show", "a\0b"], "NAMES has"),
        (["episodes", "import", "x", "--format", "droid", "--instruction", " "], "--instruction is blank"),
        (["eval", "--tasks", "x", "--seeds", "1_5"], "1_5"),
        (["eval", "--tasks", "x", "--seeds", "+15"], "+15"),
        (["episodes", "stats", "--hours", "１５"], "１５"),
        (["serve", "--port", "70000"], "--port is 70000, expected 0 to 65535"),
        (["serve", "--message-mb", "-1"], "--message-mb is -1"),
        (["eval", "--tasks", "x", "--seeds", "-3"], "--seeds is -3, expected 1 to 1000000"),
        (["eval", "--tasks", "x", "--film-seeds", "1", "-2"], "--film-seeds is -2"),
        (["episodes", "trim", "last", "--first", "-1"], "--first is -1"),
        (["episodes", "stats", "--hours", "nan"], "--hours is nan"),
        (["vlm", "judge", "--ahead", "0"], "--ahead is 0"),
    ],
    ids=lambda words: " ".join(words)[:40].encode("ascii", "replace").decode() if isinstance(words, list) else "",
)
def test_an_argument_that_cannot_be_used_is_named(
    words: list[str], there: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = said(words, capsys)
    assert code == 2
    assert there in text
    assert not any(own in text for own in PYTHONS_OWN)


def paths() -> Iterator[tuple[str, str, bool]]:
    """Yield command, option and whether it has a place instead of a name, for every path that a command takes."""
    for name in cli.commands():
        function = cli._function(name)
        hints = get_type_hints(function, include_extras=True)
        for option in inspect.signature(function).parameters:
            if bare(hints[option]) is Path:
                yield name, option, "Positional" in repr(hints[option])


def test_an_empty_path_of_any_command_is_refused_and_not_taken_for_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = list(paths())
    assert {("policy check", "path", True), ("cockpit", "data", False), ("demo", "out", False)} <= set(asked)
    for name, option, is_placed in asked:
        function = cli._function(name)
        needed = {
            n: p for n, p in inspect.signature(function).parameters.items() if p.default is p.empty and n != option
        }
        hints = get_type_hints(function, include_extras=True)
        flag = f"--{option.replace('_', '-')}"
        words = [*name.split(), *([""] if is_placed else [flag, ""])]
        for other in needed:
            words += ["x"] if "Positional" in repr(hints[other]) else [f"--{other.replace('_', '-')}", "x"]
        code, text = said(words, capsys)
        assert (code, text) == (
            2,
            f"frs: {option.upper() if is_placed else flag} has an empty path. Write '.' for the current folder; a variable that is not set leaves an empty word.",
        ), words
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "spec", ["os:", "::", ":", ".:x", "..a:b", "os:a.b", "nope:x", "os:environ", "os:getcwd", "json:loads"]
)
@pytest.mark.parametrize(
    "words", [["serve", "--policy"], ["collect", "x", "--world"], ["episodes", "import", ".", "--format"]], ids=" ".join
)
def test_a_name_that_stands_for_something_else_is_refused(
    words: list[str], spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FRS_DATA_DIR", str(tmp_path))
    code, text = said([*words, spec], capsys)
    assert code == 2
    assert f"'{spec}" in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("text", "there"),
    [
        (b"[demo]\nepisodes = -3\n", "--episodes is -3, expected 1 to 1000000"),
        (b"[demo]\nepisodes = 10000000000\n", "--episodes is 10000000000"),
        (b"\xef\xbb\xbf[demo]\nepisodes = 0\n", "--episodes is 0"),
        (b"[demo]\ntask = 'caf\xe9'\n", "byte 0xe9 in line 2 is no UTF-8"),
        (b"[demo]\nepisode = 3\n", "has no option 'episode'.*Did you mean 'episodes'"),
        (b"[demo]\nepisodes = '3'\n", "episodes = '3', expected a whole number"),
        (b"[demo]\nepisodes = 3.5\n", "expected a whole number"),
        (b"[demo]\nepisodes = true\n", "expected a whole number"),
        (b"[demo]\ntask = 3\n", "task = 3, expected a text in quotes"),
        (b"[demo]\nout = ''\n", "expected a path in quotes"),
        (b"[demo.episodes]\na = 3\n", "episodes = a table, expected a whole number"),
        (b"[demo]\npolicy_options = 3\n", "expected a table of names and values"),
        (b"[demo]\npolicy_options = {a = [1]}\n", "expected a number, a text"),
        (b"[demo]\ntask = 1979-05-27\n", "expected a text in quotes"),
    ],
)
def test_a_file_of_settings_is_read_as_strictly_as_the_command_line(
    text: bytes, there: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    file = tmp_path / "lab.toml"
    file.write_bytes(text)
    code, printed = said(["demo", "--config", str(file)], capsys)
    assert code == 2
    assert re.search(there, printed)
    assert not any(own in printed for own in PYTHONS_OWN)


def numbers(hint: Any) -> bool:
    """Return whether a number is anywhere in an annotation."""
    return hint in (int, float) or any(numbers(part) for part in get_args(hint))


def blocks() -> Iterator[type]:
    """Yield every dataclass of settings that commands take."""
    queue: list[type] = [Practice, *(type(row.settings()) for row in LEARNERS.values())]
    while queue:
        kind = queue.pop()
        yield kind
        queue += [h for h in get_type_hints(kind).values() if isinstance(h, type) and dataclasses.is_dataclass(h)]


def test_every_number_of_every_command_states_its_bounds() -> None:
    for name in cli.commands():
        function = cli._function(name)
        hints = get_type_hints(function, include_extras=True)
        for option in inspect.signature(function).parameters:
            if numbers(hints[option]):
                assert next(_bounds_in(hints[option]), None), f"frs {name}: --{option} has no bounds"


def test_every_number_of_every_option_of_worlds_and_policies_states_its_bounds() -> None:
    judged_there = {"speed", "jump", "workspace_low", "workspace_high"}
    rows = [("world", path) for path in worlds.KNOWN.values()] + [("policy", path) for path in policies.KNOWN.values()]
    for kind, path in rows:
        hints = hints_of_call(resolve(kind, path, {})) | (hints_of(DroidConfig) if "droid" in path else {})
        for option, hint in hints.items():
            if numbers(hint) and option not in judged_there:
                assert next(_bounds_in(hint), None), f"{path}: option {option} has no bounds"


@pytest.mark.parametrize(
    ("words", "there"),
    [
        (["--world-options", "seed", "-7"], "Option 'seed' of world 'tabletop' is -7, expected 0 to"),
        (
            ["--world-options", "setting", "99999999999"],
            "Option 'setting' of world 'tabletop' is 99999999999, expected -1",
        ),
        (["--policy-options", "threads", "-3"], "Option 'threads' of policy 'tabletop' is -3, expected 1 to 1024"),
        (["--policy", "remote", "--policy-options", "answer_timeout_s", "0"], "is 0, expected above 0"),
        (["--policy", "remote", "--policy-options", "action_space", "wings"], "Unknown action space 'wings'. Known:"),
        (["--policy", "pi05", "--policy-options", "path", "x", "horizon", "abc"], "is 'abc', expected a whole number"),
    ],
)
def test_an_option_outside_its_bounds_is_refused_before_anything_is_loaded(
    words: list[str], there: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = said(["collect", "mug_on_plate", "--data", str(tmp_path), *words], capsys)
    assert code == 2
    assert there in text


@pytest.mark.unchecked
def test_every_number_of_every_settings_block_obeys_its_bounds() -> None:
    for kind in set(blocks()):
        hints = get_type_hints(kind, include_extras=True)
        for item in dataclasses.fields(kind):
            if not numbers(hints[item.name]):
                continue
            bounds: Bounds | None = next(_bounds_in(hints[item.name]), None)
            assert bounds, f"{kind.__name__}.{item.name} has no bounds"
            for value in (bounds.least - 1, bounds.most + 1, math.nan):
                given = (value,) if "tuple" in str(hints[item.name]) else value
                with pytest.raises(ConfigError, match=f"{item.name} is .*expected"):
                    kind(**{item.name: given})


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "words", [("--help",), ("--version",), ("episodes",), ("episodes", "list", "--help")], ids=" ".join
)
def test_a_full_disk_behind_standard_output_is_said(words: tuple[str, ...]) -> None:
    code = "from frs_core.cli import main; main()"
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            timeout=LONG_S,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("frs: standard output cannot be written: No space left on device.")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(not hasattr(signal, "SIGPIPE"), reason="no pipes that break")
def test_a_reader_that_leaves_ends_a_command_as_it_ends_cat() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    code = "from frs_core.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "episodes", "list", "--data", "data/example"],
        stdout=writer,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=LONG_S,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
@pytest.mark.parametrize(
    ("words", "status"),
    [(["--version"], 0), (["episodes", "list", "--help"], 0), (["episodes", "list", "--nosuch"], 2)],
)
def test_a_standard_stream_that_is_closed_leads_to_nowhere(
    words: list[str], status: int, closed: tuple[int, ...], tmp_path: Path
) -> None:
    code = (
        "import os, sys\nfrom frs_core.cli import main\ntry:\n    main(sys.argv[2:])\nfinally:\n"
        "    file = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)\n    os.write(file, str(file).encode())"
    )
    shell = f'exec "$@" {" ".join(f"{fd}>&-" for fd in closed)}'
    asked = ["sh", "-c", shell, "sh", sys.executable, "-c", code, str(tmp_path / "number"), *words]
    done = subprocess.run(asked, capture_output=True, timeout=LONG_S, cwd=ROOT, check=False)
    assert done.returncode == status
    assert b"Traceback" not in done.stdout + done.stderr
    assert int((tmp_path / "number").read_text()) > 2, "the next file takes the place of a standard stream"


def test_a_text_in_utf_8_where_the_locale_knows_none_is_said_to_be_that(tmp_path: Path) -> None:
    code = "from frs_core.cli import main; main()"
    words = ["episodes", "relabel", "last", "--note", "\u00e9", "--data", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        timeout=LONG_S,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.decode().startswith("frs: --note has '\\xe9' in UTF-8, and the locale here says ASCII")
    assert b"LC_ALL=C.UTF-8" in done.stderr


def test_a_screenshots_folder_that_cannot_be_written_is_refused_before_there_is_a_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    (tmp_path / "file").write_text("x")
    may = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: not (Path(path) == tmp_path and mode & os.W_OK) and may(path, mode)
    )
    for name, there in [
        ("file", "which is a file"),
        ("new/deep", f"'{tmp_path}' cannot be written"),
        ("file/new", f"'{tmp_path}/file' cannot be written"),
        ("", "cannot be written"),
    ]:
        code, text = said(["--screenshot", str(tmp_path / name)], capsys)
        assert code == 2
        assert there in text


@pytest.mark.parametrize("option", ["--work", "--out"])
def test_making_a_generalist_where_nothing_can_be_written_is_refused_at_once(option, tmp_path, capsys) -> None:
    (tmp_path / "file").write_text("")
    others = {"--work": tmp_path / "work", "--out": tmp_path / "out"} | {option: tmp_path / "file" / "sub"}
    words = [str(word) for pair in others.items() for word in pair]
    with pytest.raises(SystemExit) as ended:
        cli.main(["generalist", "make", "--episodes", "1", *words])
    assert ended.value.code == 2
    assert f"{option} is '" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()


def test_where_matplotlib_keeps_its_settings_is_not_said() -> None:
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert logging.getLogger("matplotlib").getEffectiveLevel() == logging.ERROR
