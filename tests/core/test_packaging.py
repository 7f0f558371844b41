"""What the package says about itself: bounds of its dependencies, the container's recipe, what a built wheel holds."""

import inspect
import re
import shutil
import subprocess
import sys
import tomllib
import typing
import zipfile
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from frs_core.arrays import Array
from frs_core.commands.serve import serve

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
USED = [
    *PROJECT["dependencies"],
    *(r for extra, rows in PROJECT["optional-dependencies"].items() if extra != "dev" for r in rows),
]


@pytest.mark.parametrize("text", USED)
def test_every_dependency_has_both_bounds_and_the_locked_version_lies_within(text: str) -> None:
    need = Requirement(text)
    operators = {s.operator for s in need.specifier}
    assert operators == {"=="} or {">=", "<"} <= operators
    for lock in ("requirements.lock", "requirements-newest.lock"):
        text = (ROOT / lock).read_text()
        for found in re.finditer(rf"^{re.escape(need.name)}==(\S+)", text, re.MULTILINE | re.IGNORECASE):
            assert Version(found[1]) in need.specifier


def test_signatures_name_numpys_own_class() -> None:
    # numpy.typing.NDArray has none from numpy 2.5 on Python 3.12 on, and no module with a signature could be imported.
    assert typing.get_origin(Array) is np.ndarray


def recipe() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions, continued lines joined."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def test_the_container_copies_what_is_there_and_runs_without_root_as_a_known_command() -> None:
    instructions = recipe()
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for word, rest in instructions:
        if word == "COPY":
            sources = rest.split()[:-1]
            assert all((ROOT / source).exists() for source in sources)
            assert set(sources) <= kept
    words = [word for word, _ in instructions]
    assert words[0] == "FROM"
    assert words.index("USER") > max(i for i, word in enumerate(words) if word == "RUN")
    entry = dict(instructions)["ENTRYPOINT"]
    assert entry == '["frs", "serve", "--host", "0.0.0.0"]'
    assert "host" in inspect.signature(serve).parameters
    assert f"EXPOSE {inspect.signature(serve).parameters['port'].default}" in (ROOT / "Dockerfile").read_text()
    torch = re.search(r"torch==\S+", (ROOT / "scripts/install").read_text())
    assert torch is not None
    assert f'"{torch[0]}"' in (ROOT / "Dockerfile").read_text()


def installed(tmp_path: Path, word: str) -> tuple[int, str]:
    """Return the exit status of scripts/install and what it asked of pip, with an interpreter that only notes it."""
    python, noted = tmp_path / "python", tmp_path / "noted"
    python.write_text(f'#!/bin/sh\ncase "$1" in -c) exit 1 ;; esac\necho "$@" >> {noted}\n')
    python.chmod(0o755)
    done = subprocess.run(
        [ROOT / "scripts/install", python], env={"PATH": "/usr/bin:/bin", "FRS_TORCH": word}, check=False
    )
    return done.returncode, noted.read_text() if noted.exists() else ""


def test_one_word_chooses_the_build_of_pytorch(tmp_path: Path) -> None:
    code, asked = installed(tmp_path, "cuda")
    [line] = [line for line in asked.splitlines() if "torch==" in line]
    assert code == 0
    assert "--index-url" not in line
    (tmp_path / "noted").unlink()
    code, asked = installed(tmp_path, "cpu")
    assert code == 0
    assert "--index-url https://download.pytorch.org/whl/cpu" in asked
    assert installed(tmp_path, "rocm")[0] == 2


def has_docker() -> bool:
    """Whether a container can be built here."""
    docker = shutil.which("docker")
    return docker is not None and subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_container_is_built_and_says_its_version() -> None:
    if not has_docker():
        pytest.skip("no docker daemon is running")
    build = ["docker", "build", "-q", "--build-arg", "TORCH_INDEX=https://download.pytorch.org/whl/cpu", str(ROOT)]
    image = subprocess.run(build, capture_output=True, text=True, check=True).stdout.strip()
    run = ["docker", "run", "--rm", "--entrypoint", "frs", image, "--version"]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip() == PROJECT["version"]


@pytest.mark.slow
def test_a_built_wheel_holds_the_assets_and_no_tests(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    program = f"import os; os.chdir({str(ROOT)!r}); from hatchling.build import build_wheel; print(build_wheel({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"app", "frs_core"} == {n.split("/")[0] for n in names if ".dist-info" not in n}
    for path in ("tabletop/model.safetensors", "panda/link0_white.stl", "udev/60-frs.rules", "icons/frs-cockpit.svg"):
        assert f"frs_core/_assets/{path}" in names


def test_the_program_has_both_names_in_the_package() -> None:
    assert PROJECT["scripts"]["frs"] == PROJECT["scripts"]["frs-cockpit"]


def test_every_test_that_the_boundary_document_names_exists() -> None:
    there = {
        path.name: re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.M)
        for path in (ROOT / "tests").rglob("test_*.py")
    }
    file, missing, count = "", list[str](), 0
    for line in (ROOT / "docs/boundary.md").read_text().splitlines():
        if section := re.search(r"[Tt]ests: `tests/core/(test_\w+\.py)`", line):
            file = section[1]
        named = file
        for word in re.findall(r"`([^`]*)`", line.rpartition(" | ")[2]) if line.startswith("| ") else []:
            if found := re.match(r"(test_\w+\.py)(?:: )?", word):
                named, word = found[1], word[found.end() :]
            if named not in there:
                missing.append(named)
            elif word.startswith("…"):
                count += 1
                pattern = ".*".join(re.escape(part) for part in word.split("…"))
                missing += [] if any(re.fullmatch(pattern, test) for test in there[named]) else [f"{named}: {word}"]
    assert not missing
    assert count > 100
