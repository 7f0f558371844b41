"""The gripper's state in words, from its width and what it was told."""

import dataclasses
import math

import pytest

from app.views.gripper_state import GripperReadout
from tests.fakes.snapshots import sample_observation


def told(width_mm: float, looks: list[tuple[float, float]], *, command: float) -> list[str]:
    """Return the words at (time in s, measured share)."""
    readout, seen = GripperReadout(width_mm), sample_observation()
    return [
        readout.words(dataclasses.replace(seen, captured_ns=int(at * 1e9), gripper=share, gripper_command=command))
        for at, share in looks
    ]


def at_15_hz(*shares: float) -> list[tuple[float, float]]:
    return [(1.0 + i / 15, s) for i, s in enumerate(shares)]


def test_open_is_told_in_millimetres() -> None:
    assert told(80.0, at_15_hz(0.0, 0.0), command=0.0) == ["open 80 mm"] * 2


def test_closing_on_a_thing_ends_in_holding_it() -> None:
    words = told(80.0, at_15_hz(0.0, 0.2, 0.4, 0.5, 0.5, 0.5, 0.5, 0.5), command=1.0)
    assert words[:4] == ["closing"] * 4
    assert words[-1] == "holding 40 mm"


def test_closing_on_nothing_is_told() -> None:
    assert told(80.0, at_15_hz(0.2, 0.6, 0.99), command=1.0)[-1] == "closed, empty"


def test_fingers_that_move_apart_are_opening() -> None:
    assert told(80.0, at_15_hz(0.9, 0.5, 0.2), command=0.0)[1:] == ["opening"] * 2


@pytest.mark.parametrize(("share", "words"), [(0.0, "open 100 %"), (0.25, "open 75 %")])
def test_a_width_that_is_not_known_is_told_as_a_share(share: float, words: str) -> None:
    assert told(math.nan, at_15_hz(share), command=0.0) == [words]
