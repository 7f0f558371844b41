"""docs/architecture.md tells the truth: the files of its journeys hold the calls they are named for, and its picture shows both."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

SCRIPT = Path(__file__).parents[2] / "scripts" / "draw_architecture.py"


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


def test_every_package_imports_from_lower_layers_only(drawing: dict[str, Any]) -> None:
    level = {package: i for i, packages in enumerate(drawing["layers"]()) for package in packages}
    assert [(upper, lower) for upper, lower in drawing["imports"]() if level[upper] >= level[lower]] == []


def test_the_picture_shows_the_layers_and_journeys_of_today(drawing: dict[str, Any]) -> None:
    with Image.open(drawing["PICTURE"]) as picture:
        drawn = picture.info[drawing["KEY"]]
    assert drawn == drawing["fingerprint"](), "draw it again: python scripts/draw_architecture.py"
