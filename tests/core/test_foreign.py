"""Files that somebody else made: refused by name, at once, in bounded memory; and opened in one place only."""

import ast
import os
import struct
from pathlib import Path

import pytest
from backports import zstd

from frs_core.runtime import foreign

CORE = Path(__file__).parents[2] / "frs_core"
FUNCTIONS = {"open", "load_file", "safe_open"}
METHODS = {"read_text", "read_bytes", "open_array", "open_group"}
OF_MODULES = {f"{m}.load" for m in ("json", "np", "numpy", "torch", "tomllib", "pickle")} | {
    "tomllib.loads",
    "h5py.File",
    "av.open",
    "os.open",
    "zarr.open",
    "io.open",
    "cv2.imread",
}
MODES = {"r", "rb", "r+b", "a+b"}
MAY_READ = {
    "runtime/foreign.py": "the one place",
    "commands/output.py": "opens the standard streams that are closed",
    "worlds/libero/worker.py": "runs under LIBERO's interpreter, without this package",
    "worlds/droid/bridge.py": "runs under the lab's interpreter, without this package",
    "evaluation/rql_bench/official.py": "runs in an interpreter of its own, without this package",
    "testing/learner.py": "damages what it has just written",
    "serving/openpi_server.py": "runs in an openpi checkout, without this package",
    "serving/websocket_server.py": "certificate and key, looked at first; it is copied into openpi_server.py, which has not this package",
}
"""Files that open foreign files themselves, and why."""


@pytest.fixture
def pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def test_what_is_no_plain_file_is_refused_by_its_kind(tmp_path, pipe):
    link = tmp_path / "link"
    link.symlink_to("/dev/zero")
    plain = tmp_path / "plain"
    plain.write_text("{}")
    to_plain = tmp_path / "to_plain"
    to_plain.symlink_to(plain)
    for path, may_link, kind in (
        (pipe, False, "a named pipe"),
        (link, False, "a link"),
        (link, True, "a device"),
        (tmp_path, True, "a folder"),
        (to_plain, False, "a link"),
    ):
        with pytest.raises(OSError, match=f"is {kind}, expected a plain file"):
            foreign.read_bytes(path, limit=10, may_link=may_link)
        with pytest.raises(OSError, match=f"is {kind}, expected a plain file"):
            foreign.plain_file(path, may_link=may_link)
    assert foreign.read_json(to_plain) == {}


def test_a_pointer_of_git_lfs_is_called_one_whatever_it_stands_for(tmp_path):
    path = tmp_path / "any.parquet"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 7\n")
    for read in (foreign.plain_file, foreign.read_json, foreign.read_tensors):
        with pytest.raises(
            OSError, match="is a Git LFS pointer, the file itself was not downloaded; run `git lfs pull`"
        ):
            read(path)


def test_a_file_above_the_limit_is_refused_unread(tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match=r"has 1099511627776 bytes, at most 1048576 are read"):
        foreign.read_text(path)


@pytest.mark.parametrize("text", ["[" * 100_000 + "]" * 100_000, "[" * 65 + "]" * 65, '{"a":' * 70 + "0" + "}" * 70])
def test_deep_json_is_refused(text):
    with pytest.raises(ValueError, match="nested more than 64 deep"):
        foreign.parse_json(text)
    assert foreign.parse_json("[" * 64 + "]" * 64)


def test_a_name_that_is_twice_in_an_object_is_refused_wherever_json_is_read(tmp_path):
    assert foreign.parse_json('{"a": {"b": 1}, "b": {"b": 2}}') == {"a": {"b": 1}, "b": {"b": 2}}
    header = b'{"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}'
    weights, settings = tmp_path / "w.safetensors", tmp_path / "config.json"
    weights.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    settings.write_text('{"steps": [{"w": 15, "h": 1, "w": 3}]}')
    for read in (
        lambda: foreign.read_tensors(weights),
        lambda: foreign.require_named_once(weights),
        lambda: foreign.read_json(settings),
    ):
        with pytest.raises(ValueError, match="'w' is there twice in one object; remove one of the two"):
            read()


def test_a_caller_may_refuse_what_is_no_json_though_python_writes_it():
    def refuse(name: str) -> float:
        raise UnicodeError(name)

    assert foreign.parse_json("[1, Infinity]") == [1, float("inf")]
    with pytest.raises(UnicodeError, match="NaN"):
        foreign.parse_json("[NaN]", constant=refuse)


def test_what_is_no_header_is_left_to_the_library_that_reads_it(tmp_path):
    for data in (b"", b"\xff" * 8, struct.pack("<Q", 2) + b"[]", struct.pack("<Q", 2) + b"\xff{"):
        path = tmp_path / "w.safetensors"
        path.write_bytes(data)
        assert foreign.require_named_once(path) == path


def test_bytes_that_are_no_utf_8_and_endless_numbers_are_refused_in_words_of_our_own(tmp_path):
    path = tmp_path / "f"
    path.write_bytes('{"a": 1}'.encode("utf-16"))
    for read in (foreign.read_json, foreign.read_toml):
        with pytest.raises(ValueError, match="byte 0xff in line 1 is no UTF-8; save the file as UTF-8"):
            read(path)
    path.write_bytes(b"\0\0\0{\xff")
    with pytest.raises(ValueError, match="byte 0xff in line 1 is no UTF-8"):
        foreign.read_json(path)
    for text, read in (('{"a": %s}', foreign.read_json), ("a = %s", foreign.read_toml)):
        path.write_text(text % ("9" * 5000))
        with pytest.raises(ValueError, match="a whole number has more than 4300 digits"):
            read(path)


@pytest.mark.parametrize("size", [0, 1, 200, 300, 70_000, 200_000])
def test_zstd_gives_what_was_packed_and_nothing_else(size):
    raw = os.urandom(size)
    packed = zstd.compress(raw, 3)
    assert foreign.unpack_zstd(packed, size=size) == raw
    with pytest.raises(ValueError, match=f"expected {size + 1}"):
        foreign.unpack_zstd(packed, size=size + 1)


def test_a_zstd_bomb_is_refused_by_its_header():
    bomb = bytearray(zstd.compress(bytes(1 << 20), 3))
    with pytest.raises(ValueError, match="1048576 bytes, expected 100"):
        foreign.unpack_zstd(bytes(bomb), size=100)
    lies = b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 100) + bytes(bomb[9:])
    with pytest.raises(ValueError, match=r"."):
        foreign.unpack_zstd(lies, size=100)
    unknown = b"\x28\xb5\x2f\xfd\x00\x58" + bytes(8)
    with pytest.raises(ValueError, match="unknown size"):
        foreign.unpack_zstd(unknown, size=100)


def test_texts_that_would_steer_a_terminal_are_spelled_out():
    assert foreign.visible("a\x1b[2Jb\u202ec\ud800d\r") == r"a\x1b[2Jb\u202ec\ud800d\r"
    assert foreign.visible("Grüße, 机器人\n\tok") == "Grüße, 机器人\n\tok"


def calls(path: Path) -> list[str]:
    """Return the calls in a module that open a file to read it, with their lines."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and not writes(node) and not is_guarded(node):
            function = node.func
            method = function.attr if isinstance(function, ast.Attribute) else ""
            owner = function.value.id if method and isinstance(function.value, ast.Name) else ""
            name = function.id if isinstance(function, ast.Name) else ""
            if name in FUNCTIONS or method in METHODS or f"{owner}.{method}" in OF_MODULES:
                found.append(f"{node.lineno}: {owner}.{method or name}")
            elif method == "open" and any(isinstance(a, ast.Constant) and a.value in MODES for a in node.args):
                found.append(f"{node.lineno}: {owner}.open")
    return found


def writes(node: ast.Call) -> bool:
    """Tell whether a call of `open` makes or extends a file of its own."""
    modes = {a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    return any(m in {"w", "wb", "x", "xb", "a", "ab"} for m in modes)


def is_guarded(node: ast.Call) -> bool:
    """Tell whether a library is handed a file that `plain_file` has looked at."""
    return any(isinstance(n, ast.Name) and n.id == "plain_file" for a in node.args for n in ast.walk(a))


def test_nothing_else_opens_foreign_files():
    offenders = {}
    for path in sorted(CORE.rglob("*.py")):
        name = path.relative_to(CORE).as_posix()
        if name in MAY_READ:
            continue
        if found := calls(path):
            offenders[name] = found
    # Syncing opens what was just written; a journal is made, never read, by its descriptor; the ring is shared memory of our own.
    assert set(offenders) <= {"episodes/layout.py", "episodes/journal.py", "worlds/ring.py"}, offenders
    assert all(c.endswith("os.open") for found in offenders.values() for c in found), offenders


def test_commands_print_through_the_console_without_markup():
    for path in (CORE / "commands").glob("*.py"):
        if path.name == "printing.py":
            continue
        tree = ast.parse(path.read_text())
        made = [n.lineno for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "Console"]
        markup = [n.lineno for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module == "rich.markup"]
        assert made + markup == [], path.name
