"""Texts in source files, and their snapshots: one file each, committed, to be read as a whole.

A snapshot is what the code says; a change of either shows as a difference. After a change of texts, run the test with FRS_UPDATE_TEXTS=1
and read the difference in the commit.
"""

import ast
import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FIXTURES = ROOT / "tests/fixtures"
HINT = "Read the new texts, then run this file with FRS_UPDATE_TEXTS=1."


def text_of(node: ast.AST) -> str:
    """Return a text with the expressions in it in braces; "" for what is no text."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else f"{{{ast.unparse(part.value)}}}"
            for part in node.values
            if isinstance(part, ast.Constant | ast.FormattedValue)
        )
    return ""


def check_snapshot(name: str, now: str) -> None:
    """Fail, naming the lines, unless a snapshot holds these texts; with FRS_UPDATE_TEXTS set, write it first."""
    file = FIXTURES / name
    if os.environ.get("FRS_UPDATE_TEXTS"):
        file.write_text(now)
    there = file.read_text()
    new, gone = differences(there, now)
    assert new == [], f"Texts that nobody has read yet. {HINT}"
    assert gone == [], f"Texts that are no longer said. {HINT}"
    assert there == now, f"Texts that moved to another file. {HINT}"


def differences(there: str, now: str) -> tuple[list[str], list[str]]:
    """Return (the lines that are new, the lines that are gone)."""
    old, new = there.splitlines(), now.splitlines()
    return [line for line in new if line not in old], [line for line in old if line not in new]


LOG_CALLS = {"debug", "info", "warning", "error", "exception", "critical"}
UNSEEN = {
    "setObjectName",
    "setProperty",
    "property",
    "cast",
    "TypeVar",
    "getattr",
    "setattr",
    "import_module",
    "strftime",
}
"""Calls whose strings nobody sees."""


def is_worded(text: str) -> bool:
    """Whether a string reads as words: it has a space, a capital letter or a character beyond ASCII. Ids and fields have none; style
    sheets and shaders are lines of code."""
    is_code = ";\n" in text
    return not is_code and (" " in text.strip() or text[:1].isupper() or not text.isascii())


def worded(source: str) -> Iterator[str]:
    """Yield every string of a module that reads as words, but for docstrings, log messages and annotations."""
    yield from _worded(ast.parse(source))


def _worded(node: ast.AST) -> Iterator[str]:
    if text := text_of(node):
        if is_worded(text):
            yield text.replace("\n", "\\n")
        return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    if isinstance(node, ast.Call) and _is_unseen(node.func):
        return
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _worded(child)


def _is_unseen(function: ast.expr) -> bool:
    if isinstance(function, ast.Attribute):
        is_log = function.attr in LOG_CALLS and "log" in ast.unparse(function.value).lower()
        return is_log or function.attr in UNSEEN
    return isinstance(function, ast.Name) and function.id in UNSEEN
