"""Every text with which `frs_core` refuses something or remarks on it, and the help of every command, in one file to be read as a whole.

`tests/fixtures/boundary_texts.txt` is what the code says; a change of either shows as a difference. After a change of texts, run this file
with FRS_UPDATE_TEXTS=1 and read the difference in the commit.
"""

import ast
import dataclasses
import inspect
import itertools
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

from typing_extensions import Doc

from frs_core import cli, errors
from tests.texts import ROOT, check_snapshot, text_of

ERRORS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.FrsError)}
LISTS = {"problems", "notes", "assumed_notes", "remarks"}
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


def documented(kind: type) -> Iterator[str]:
    """Yield "field: meaning" of a dataclass of settings and of those within it, where a meaning is written."""
    own = [c for c in reversed(kind.__mro__) if c.__module__.startswith("frs_core.")]
    for node in (node for c in own for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(c))))):
        if isinstance(node, ast.ClassDef):
            for field, after in itertools.pairwise(node.body):
                if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr) and (text := text_of(after.value)):
                    yield f"{ast.unparse(field.target)}: {' '.join(text.split())}"
    for hint in get_type_hints(kind).values():
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            yield from documented(hint)


def types_of(name: str) -> list[Any]:
    """Return the types of a command's options."""
    hints = get_type_hints(cli._function(name), include_extras=True)
    return [hints[option] for option in inspect.signature(cli._function(name)).parameters]


def helped() -> str:
    """Return the help of `frs` and of all its commands; what options of one type and settings of learners share is there once."""
    commands = {name: inspect.getdoc(cli._function(name)) or "" for name in cli.commands()}
    types = [hint for name in commands for hint in types_of(name)]
    kinds = {getattr(hint, "__origin__", hint) for hint in types}
    parts = {"frs --help": cli._help()} | {f"frs {name} --help": text for name, text in commands.items()}
    parts["options of these types"] = "\n".join(
        sorted({f.documentation for hint in types for f in getattr(hint, "__metadata__", ()) if isinstance(f, Doc)})
    )
    parts["groups of options"] = "\n".join(
        sorted({text for k in kinds if dataclasses.is_dataclass(k) and isinstance(k, type) for text in documented(k)})
    )
    return "\n".join(f"# {name}\n" + "".join(f"{x}\n" for x in said.splitlines() if x) for name, said in parts.items())


def test_the_texts_of_the_boundary_are_those_that_were_read() -> None:
    check_snapshot("boundary_texts.txt", f"{said()}\n{helped()}")
