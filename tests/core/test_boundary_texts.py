"""Every text with which foreign files, devices and networks are refused or remarked upon, in one file to be read as a whole.

`tests/fixtures/boundary_texts.txt` is what the code says; a change of either shows as a difference. After a change of texts, run this file
with FRS_UPDATE_TEXTS=1 and read the difference in the commit.
"""

import ast
import os
from collections.abc import Iterator
from pathlib import Path

from frs_core import errors

ROOT = Path(__file__).parents[2]
SNAPSHOT = ROOT / "tests/fixtures/boundary_texts.txt"
FILES = (
    "frs_core/policies/pi05/*.py",
    "frs_core/policies/lerobot.py",
    "frs_core/policies/remote.py",
    "frs_core/steering/camera_pairing.py",
    "frs_core/episodes/*droid*.py",
    "frs_core/episodes/*lerobot*.py",
    "frs_core/episodes/export_*.py",
    "frs_core/episodes/video.py",
    "frs_core/devices/*.py",
    "frs_core/wire/*.py",
    "frs_core/serving/*.py",
    "frs_core/commands/desktop.py",
    "frs_core/commands/policy.py",
)
ERRORS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.FrsError)}
LISTS = {"problems", "notes", "remarks"}
"""Where texts are collected instead of raised."""


def text_of(node: ast.expr) -> str:
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
    paths = sorted({path for pattern in FILES for path in ROOT.glob(pattern)})
    parts = [(path.relative_to(ROOT), sorted(set(texts(path)))) for path in paths]
    return "\n".join(f"# {path}\n" + "".join(f"{text}\n" for text in found) for path, found in parts if found)


def test_the_texts_of_the_boundary_are_those_that_were_read() -> None:
    if os.environ.get("FRS_UPDATE_TEXTS"):
        SNAPSHOT.write_text(said())
    there = SNAPSHOT.read_text().splitlines()
    now = said().splitlines()
    hint = "Read the new texts, then run this file with FRS_UPDATE_TEXTS=1."
    assert [line for line in now if line not in there] == [], f"Texts that nobody has read yet. {hint}"
    assert [line for line in there if line not in now] == [], f"Texts that are no longer said. {hint}"
