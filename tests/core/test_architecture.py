"""docs/architecture.md tells the truth: the files of its journeys hold the calls they are named for, and its figure shows both."""

import ast
import graphlib
import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "draw_architecture.py"


UPWARD = {
    (
        "frs_core.cli",
        "app.main",
    ): "frs without a command opens the cockpit, which is above the core and may not be installed",
    (
        "frs_core.testing.device",
        "app.actions",
    ): "a device's contract compares its bindings with the cockpit's actions",
}
"""Modules of the core that name one of a higher layer in a string, with the reason."""
COMPUTED = "…"
COMPUTED_IN = {
    "frs_core.cli": "the strings of COMMANDS",
    "frs_core.runtime.registry": "the strings of rows, of entry points and of options",
    "frs_core.evaluation.rql_bench.play": "the strings that OGBench registers",
    "frs_core.policies.pi05": "modules of its own folder",
    "frs_core.worlds.droid.bridge": "the environment that its option names",
}
"""Modules that import by a name which is no text in the call, and where the name comes from."""


def files_of_modules(root: Path) -> dict[str, Path]:
    """Return module -> file, of the whole product."""
    files: dict[str, Path] = {}
    for file in (*root.glob("frs_core/**/*.py"), *root.glob("app/**/*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return files


def handed_to_importlib(tree: ast.AST) -> set[str]:
    """Return what a module's calls of `import_module` and `__import__` name: the module, or what precedes an expression in its name."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and node.args):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in ("import_module", "__import__"):
            name = node.args[0].values[0] if isinstance(node.args[0], ast.JoinedStr) else node.args[0]
            found.add(str(name.value).removesuffix(".") if isinstance(name, ast.Constant) else COMPUTED)
    return found


def named_in_strings(root: Path) -> set[tuple[str, str]]:
    """Return (module, module that one of its strings names as `module:name` or hands to importlib), of the whole product."""
    files = files_of_modules(root)
    found: set[tuple[str, str]] = set()
    for module, file in files.items():
        tree = ast.parse(file.read_text())
        words = {
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        named = (re.fullmatch(r"((?:frs_core|app)(?:\.\w+)*):\w+", word) for word in words)
        found |= {(module, match[1]) for match in named if match}
        found |= {(module, name) for name in handed_to_importlib(tree) if name.split(".")[0] in ("frs_core", "app")}
    return found


def imports_of_modules(root: Path) -> dict[str, set[str]]:
    """Return module -> the product's modules that it imports, at its top, in functions, and for types alone."""
    files = files_of_modules(root)
    found: dict[str, set[str]] = {}
    for module, file in files.items():
        found[module] = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                found[module] |= {name if name in files else node.module for name in names}
            elif isinstance(node, ast.Import):
                found[module] |= {alias.name for alias in node.names}
            elif isinstance(node, ast.Call):
                found[module] |= handed_to_importlib(node)
        found[module] = (found[module] & files.keys()) - {module}
    return found


@pytest.fixture(scope="module")
def drawing() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def test_the_files_of_both_journeys_hold_the_calls_they_are_named_for(drawing: dict[str, Any]) -> None:
    journeys = drawing["journeys"]()
    assert [len(journey.stops) > 10 for journey in journeys] == [True, True]
    for stop in (stop for journey in journeys for stop in journey.stops):
        assert stop.path.is_file(), f"docs/architecture.md names {stop.file}"
        text = stop.path.read_text()
        for call in stop.calls:
            owner, _, name = call.rpartition(".")
            assert not owner or re.search(rf"^class {owner}\b", text, re.MULTILINE), f"{stop.file} has no {owner}"
            pattern = rf"def {name}\b" if owner else rf"\b{re.escape(name)}\b"
            assert re.search(pattern, text), f"docs/architecture.md names {call}, {stop.file} has none"


def test_no_module_imports_one_that_imports_it() -> None:
    graph = imports_of_modules(ROOT)
    assert "frs_core.learning.base" in graph["frs_core.learning.registry"]
    graphlib.TopologicalSorter(graph).prepare()  # Raises CycleError with the circle.


def test_a_circle_of_modules_is_found_even_in_a_function(tmp_path: Path) -> None:
    package = tmp_path / "frs_core" / "parts"
    package.mkdir(parents=True)
    (package / "one.py").write_text("from frs_core.parts.two import B\n")
    (package / "two.py").write_text("def b():\n    from frs_core.parts import one\n")
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(imports_of_modules(tmp_path)).prepare()


def test_every_package_imports_from_lower_layers_only(drawing: dict[str, Any]) -> None:
    level = {package: i for i, packages in enumerate(drawing["layers"]()) for package in packages}
    assert [(upper, lower) for upper, lower in drawing["imports"]() if level[upper] >= level[lower]] == []


def test_names_of_modules_in_strings_keep_to_the_layers_too(drawing: dict[str, Any]) -> None:
    level = {package: i for i, packages in enumerate(drawing["layers"]()) for package in packages}

    def package(module: str) -> str:
        return module.split(".")[0 if module.startswith("app") else 1]

    found = named_in_strings(ROOT)
    assert ("frs_core.worlds.libero.world", "frs_core.worlds.libero.check") in found
    assert {named for _, named in found} <= files_of_modules(ROOT).keys()
    upward = {
        (here, named)
        for here, named in found
        if package(here) != package(named) and level[package(here)] >= level[package(named)]
    }
    assert upward == UPWARD.keys()


def test_a_name_in_a_string_is_found(tmp_path: Path) -> None:
    package = tmp_path / "frs_core" / "worlds"
    package.mkdir(parents=True)
    (package / "rail.py").write_text("class Rail:\n    doctor = 'frs_core.doctor.rail:check'\n")
    assert named_in_strings(tmp_path) == {("frs_core.worlds.rail", "frs_core.doctor.rail")}


def test_importlib_in_a_function_is_no_way_around(tmp_path: Path) -> None:
    package = tmp_path / "frs_core" / "worlds"
    package.mkdir(parents=True)
    (package / "rail.py").write_text("def r():\n    importlib.import_module('frs_core.worlds.wheel').run()\n")
    (package / "wheel.py").write_text("def w(n):\n    __import__('frs_core.worlds.rail'); import_module(f'app.{n}')\n")
    assert ("frs_core.worlds.wheel", "app") in named_in_strings(tmp_path)
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(imports_of_modules(tmp_path)).prepare()


def test_modules_that_import_by_a_computed_name_are_known() -> None:
    trees = {module: ast.parse(file.read_text()) for module, file in files_of_modules(ROOT).items()}
    assert {module for module, tree in trees.items() if COMPUTED in handed_to_importlib(tree)} == COMPUTED_IN.keys()


def test_the_layers_of_the_cockpit_are_checked_with_those_of_the_core() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layered = [c for c in settings["contracts"] if c["type"] == "layers"]
    assert {c["containers"][0] for c in layered} == {"frs_core", "frs_core.session", "app", "app.views"}
    assert all(c["exhaustive"] for c in layered)  # A module without a layer breaks its contract.


def test_the_picture_shows_the_layers_and_journeys_of_today(drawing: dict[str, Any]) -> None:
    with Image.open(drawing["PICTURE"]) as picture:
        drawn = picture.info[drawing["KEY"]]
    assert drawn == drawing["fingerprint"](), "draw it again: python scripts/draw_architecture.py"
