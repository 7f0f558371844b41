"""Every text with which `frs_core` refuses something or remarks on it, in one file to be read as a whole.

`tests/fixtures/boundary_texts.txt` is what the code says; a change of either shows as a difference. After a change of texts, run this file
with FRS_UPDATE_TEXTS=1 and read the difference in the commit.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from frs_core import errors
from tests.texts import ROOT, check_snapshot, text_of

ERRORS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.FrsError)}
LISTS = {"problems", "notes", "remarks"}
"""Where texts are collected instead of raised."""


def texts(path: Path) -> Iterator[str]:
    """Yield the texts of a module, in its order."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        made = isinstance(node.func, ast.Name) and node.func.id in ERRORS
        collected = (
            isinstance(node.func, ast.Attribute)
            and node.func.attr == "append"
            and isinstance(node.func.value, ast.Attribute | ast.Name)
            and (getattr(node.func.value, "attr", "") or getattr(node.func.value, "id", "")) in LISTS
        )
        if (made or collected) and node.args and (text := text_of(node.args[0])):
            yield text


def said() -> str:
    """Return all texts, by file and in alphabetical order."""
    paths = sorted((ROOT / "frs_core").rglob("*.py"))
    parts = [(path.relative_to(ROOT), sorted(set(texts(path)))) for path in paths]
    return "\n".join(f"# {path}\n" + "".join(f"{text}\n" for text in found) for path, found in parts if found)


def test_the_texts_of_the_boundary_are_those_that_were_read() -> None:
    check_snapshot("boundary_texts.txt", said())
