#!/usr/bin/env python3
"""Draw docs/images/architecture.png: the layers, the imports between packages, and the two journeys.

Layers are read from `[tool.importlinter]` in pyproject.toml, imports from the source, and the stops and calls of the journeys from
the tables in docs/architecture.md.

    scripts/draw_architecture.py        # writes the image
"""

import ast
import hashlib
import json
import re
import sys
import tomllib
from dataclasses import dataclass, replace
from itertools import pairwise, product
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Arc, Rectangle

ROOT = Path(__file__).resolve().parent.parent
TEXT = ROOT / "docs" / "architecture.md"
PICTURE = ROOT / "docs" / "images" / "architecture.png"
KEY = "Drawn from"
"""Field of the image's metadata that holds `fingerprint()`."""
COLOURS = ("#0072B2", "#C04A00")
PALE = "#5a5a5a"


@dataclass(frozen=True)
class Stop:
    """One file that a journey passes, with the names called there."""

    file: str
    calls: tuple[str, ...]
    is_alternative: bool = False
    """Entered instead of the stop before it."""

    @property
    def path(self) -> Path:
        """Where it is."""
        return ROOT / self.file if self.file.startswith("app/") else ROOT / "frs_core" / self.file


@dataclass(frozen=True)
class Journey:
    """A way through the code, in order."""

    title: str
    stops: tuple[Stop, ...]

    @property
    def steps(self) -> list[list[Stop]]:
        """The stops in order, alternatives together."""
        found: list[list[Stop]] = []
        for stop in self.stops:
            found[-1].append(stop) if stop.is_alternative else found.append([stop])
        return found


def package_of(file: str) -> str:
    """Return the package of a file, as named in the layers."""
    return file.partition("/")[0].removesuffix(".py")


def layers() -> list[list[str]]:
    """Return the packages of each layer, highest first; `app` is the highest."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    [rows] = [c["layers"] for c in settings["contracts"] if c.get("containers") == ["frs_core"]]
    return [["app"], *([package.strip() for package in layer.split("|")] for layer in rows)]


def journeys() -> list[Journey]:
    """Return the journeys of docs/architecture.md: in each table, a path in backticks is a stop, names after it its calls.

    A path after "or" is an alternative to the one before.
    """
    section = TEXT.read_text().split("## Two journeys", 1)[1].split("\n## ", 1)[0]
    parts = re.split(r"^\*\*(.+?)\.\*\*", section, flags=re.MULTILINE)[1:]
    found: list[Journey] = []
    for title, body in zip(parts[::2], parts[1::2], strict=True):
        stops: list[Stop] = []
        for row in re.findall(r"^\| .+? \| (.+) \|$", body, re.MULTILINE):
            for before, word in re.findall(r"([^`]*)`([^`]+)`", row):
                if word.endswith(".py"):
                    stops.append(Stop(word, (), is_alternative=before.split()[-1:] == ["or"]))
                elif stops:
                    stops[-1] = replace(stops[-1], calls=(*stops[-1].calls, word))
        found.append(Journey(title, tuple(stops)))
    return found


def imports() -> set[tuple[str, str]]:
    """Return pairs of (importing, imported) packages."""
    found: set[tuple[str, str]] = set()
    for file in (*ROOT.glob("frs_core/**/*.py"), *ROOT.glob("app/**/*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        here = "app" if parts[0] == "app" else parts[1]
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "frs_core":
                names = (node.module or "").split(".")[1:2] or [alias.name for alias in node.names]
                found |= {(here, name) for name in names if name != here}
    packages = {package for layer in layers() for package in layer}
    return {(a, b) for a, b in found if a in packages and b in packages}


def fingerprint() -> str:
    """Return a digest of layers and journeys; an image with another digest is out of date."""
    said = [layers(), [[j.title, [[s.file, s.calls, s.is_alternative] for s in j.stops]] for j in journeys()]]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def draw(target: Path) -> None:
    """Write the image, 1440 pixels wide."""
    tours = journeys()
    files = dict.fromkeys(stop.file for tour in tours for stop in tour.stops)
    lines: list[tuple[int, tuple[str, ...], str]] = []  # layer, packages, file
    for level, packages in enumerate(layers()):
        for package in packages:
            lines += [(level, (package,), file) for file in files if package_of(file) == package]
        if unvisited := tuple(package for package in packages if package not in {package_of(file) for file in files}):
            lines.append((level, unvisited, ""))
    at = {file: i for i, (_, _, file) in enumerate(lines) if file}
    first = {package: i for i, (_, packages, _) in reversed([*enumerate(lines)]) for package in packages}

    height = len(lines) * 0.185 + 0.75
    figure = Figure(figsize=(9, height), dpi=160)
    axes: Axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 900), ylim=(len(lines) + 0.6, -3.3))
    axes.axis("off")
    for i, (level, _, _) in enumerate(lines):
        axes.add_patch(Rectangle((0, i - 0.5), 900, 1, color="#f1f3f5" if level % 2 else "white", lw=0))

    for upper, lower in sorted(imports()):
        a, b = sorted((first[upper], first[lower]))
        width = min(12 + 4.6 * (b - a), 170)
        axes.add_patch(
            Arc((96, (a + b) / 2), width, b - a, theta1=90, theta2=270, lw=0.45, color="#7f8a95", alpha=0.55)
        )
    for i, (_, packages, file) in enumerate(lines):
        if i in first.values():
            axes.text(102, i, "   ".join(packages), fontsize=7.5, va="center", weight="bold" if file else "normal")
        if file:
            calls = dict.fromkeys(c for tour in tours for s in tour.stops if s.file == file for c in s.calls)
            axes.text(180, i, file.partition("/")[2] or file, fontsize=7.2, va="center")
            axes.text(292, i, shortened(", ".join(calls)), fontsize=6.6, va="center", color=PALE)

    left = 500
    for tour, colour in zip(tours, COLOURS, strict=True):
        step = 400 / (sum(len(t.steps) for t in tours) + 1.5)
        rows = [[at[stop.file] for stop in stops] for stops in tour.steps]
        for number, (here, there) in enumerate(pairwise(rows)):
            for a, b in product(here, there):
                axes.plot([left + step * number, left + step * (number + 1)], [a, b], color=colour, lw=1.6, zorder=2)
        for number, ys in enumerate(rows):
            x = left + step * number
            for y in ys:
                axes.plot(x, y, "o", ms=8.4, color=colour, zorder=3)
                axes.text(x, y + 0.04, str(number + 1), fontsize=5.6, color="white", ha="center", va="center", zorder=4)
        axes.text(
            min(left - 6, 690),
            -1.5,
            tour.title.replace(", to ", ",\nto ", 1),
            fontsize=8,
            color=colour,
            weight="bold",
            va="center",
        )
        left += (len(rows) + 0.6) * step
    axes.text(6, -1.5, "imports,\nall downward", fontsize=7.2, va="center", color=PALE)
    axes.text(102, -1.5, "package", fontsize=7.2, va="center", color=PALE)
    axes.text(180, -1.5, "file", fontsize=7.2, va="center", color=PALE)
    axes.text(292, -1.5, "called there", fontsize=7.2, va="center", color=PALE)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, metadata={KEY: fingerprint(), "Software": None}, pil_kwargs={"optimize": True})


def shortened(words: str, longest: int = 42) -> str:
    """Return words, shortened with an ellipsis if they are too long."""
    return words if len(words) <= longest else words[: longest - 1].rstrip(", ") + "…"


if __name__ == "__main__":
    draw(PICTURE)
    sys.stdout.write(f"Wrote {PICTURE}\n")
