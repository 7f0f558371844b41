"""Options along the annotations of what takes them: from words of the command line, from Python, and with everything that is none."""

import enum
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from frs_core.choosers.registry import ChooserSpec, typed_chooser_options
from frs_core.errors import ConfigError
from frs_core.runtime.bounds import Size
from frs_core.runtime.registry import build, loose_options, plain_options
from frs_core.runtime.typed import Unfit, plain, typed


class Side(enum.Enum):
    LEFT = "left"
    RIGHT = "right"


@pytest.mark.parametrize(
    ("value", "hint", "found"),
    [
        ("007", str, "007"),
        (7, str | None, "7"),
        (True, str, "true"),
        ("0.50", str, "0.50"),
        ("007", int | None, 7),
        (None, int | None, None),
        ("1e3", float, 1000.0),
        (2, float, 2),
        ("FALSE", bool, False),
        (True, Annotated[bool, "x"], True),
        (7, str | Path, "7"),
        ("a", Path, Path("a")),
        ("left", Side, Side.LEFT),
        ("left", Side | str, "left"),
        ("a", Literal["a", "b"], "a"),
        ("0.2, -0.4, 0", tuple[float, float, float], (0.2, -0.4, 0.0)),
        ("left wrist", tuple[str, ...], ("left", "wrist")),
        ("left", tuple[str, ...], ("left",)),
        (0.5, tuple[float, ...], (0.5,)),
        ("a=b", str | Sequence[str] | Mapping[str, str], "a=b"),
        ({"a": "b"}, str | Mapping[str, str], {"a": "b"}),
        ("x", object, "x"),
        ([1], Any, [1]),
    ],
)
def test_a_value_is_taken_as_its_annotation_wants_it(value: object, hint: object, found: object) -> None:
    taken = typed(value, hint)
    assert (taken, type(taken)) == (found, type(found))


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        ("abc", int | None, "a whole number"),
        (2.5, int, "a whole number"),
        (True, int, "a whole number"),
        ("two", float, "a number"),
        (float("nan"), float, "a finite number"),
        (True, float, "a number"),
        ("yes", bool, "true or false"),
        (1, bool, "true or false"),
        ([1], str, "a text"),
        ("", Path, "a path"),
        ("", str | Path | None, "a path"),
        ("up", Side, "one of left, right"),
        ("c", Literal["a", "b"], "one of a, b"),
        ("1, 2", tuple[float, float, float], "3 values, separated by commas"),
        ("1, 2, x", tuple[float, float, float], "3 values, separated by commas, each a number"),
        ("x", Mapping[str, str], "a table of names and values"),
        ([1], int | str | None, "a whole number or a text"),
    ],
)
def test_a_value_that_is_none_says_what_was_expected(value: object, hint: object, expected: str) -> None:
    with pytest.raises(Unfit) as refused:
        typed(value, hint)
    assert str(refused.value) == expected


@pytest.mark.parametrize(
    "text", ["1_5", "+15", " 15", "15 ", "１５", "١٥", "0x1f", "1_0.5", "+1e3", "", "-", ".", "e3"]
)
def test_words_that_python_alone_would_take_for_numbers_are_none(text: str) -> None:
    for kind in (int, float):
        with pytest.raises(Unfit):
            typed(text, kind)
    assert loose_options({"a": text}) == {"a": text}
    assert [typed(t, float) for t in ("-1", "1.", ".5", "1e3", "1E-3")] == [-1.0, 1.0, 0.5, 1000.0, 0.001]


@pytest.mark.parametrize("text", ["007", "1_000", "+5", " 5", "1e3", "0.50", "True", "NaN", "-0", "x", ""])
def test_a_word_that_a_number_would_be_written_otherwise_stays_a_word(text: str) -> None:
    assert plain(text) == text


def test_words_are_numbers_where_they_are_written_so() -> None:
    assert plain_options({"a": "5", "b": "-0.5", "c": "true", "d": "1e-3"}) == {
        "a": 5,
        "b": -0.5,
        "c": True,
        "d": "1e-3",
    }
    assert loose_options({"a": "007", "b": "1e-3", "c": "FALSE", "d": "x"}) == {
        "a": 7,
        "b": 0.001,
        "c": False,
        "d": "x",
    }


def makes(*, horizon: Size | None = None, token: str = "", is_on: bool = True, **more: object) -> dict[str, object]:
    return {"horizon": horizon, "token": token, "is_on": is_on, **more}


def unannotated(*, speed=0.0):
    return speed


def named(function: Callable[..., object]) -> str:
    return f"{__name__}:{function.__name__}"


def test_options_reach_a_factory_as_it_wants_them() -> None:
    given = plain_options({"horizon": "015", "token": "12345", "is_on": "False", "free": "1e3"})
    assert build("policy", named(makes), {}, given) == {"horizon": 15, "token": "12345", "is_on": False, "free": 1000.0}
    assert build("policy", named(unannotated), {}, plain_options({"speed": "1e3"})) == 1000.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"horizon": "abc"},
            "Option 'horizon' of policy .* is 'abc', expected a whole number. Correct it in --policy-options horizon",
        ),
        ({"horizon": "0"}, "Option 'horizon' of policy .* is 0, expected 1 to 65536"),
        ({"is_on": "1"}, "is '1', expected true or false"),
    ],
)
def test_an_option_of_another_type_is_refused_in_one_sentence(options: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build("policy", named(makes), {}, plain_options(options))


def test_a_secret_of_another_type_is_not_shown() -> None:
    with pytest.raises(ConfigError, match=r"'token' of policy .* is a secret, expected a text") as refused:
        build("policy", named(makes), {}, {"token": ["hidden"]})
    assert "hidden" not in str(refused.value)


def test_options_of_a_chooser_are_read_along_what_its_row_states() -> None:
    row = ChooserSpec(
        "toy", "Toy", "Goes one way", "", "It picked", options={"way": Literal["left", "up"], "pace": Size, "name": str}
    )
    taken = typed_chooser_options({"way": "up", "pace": "3", "name": "007", "else": "1e3"}, {"toy": row})
    assert taken == {"way": "up", "pace": 3, "name": "007", "else": 1000.0}
    for words, told in (
        (
            {"way": "down"},
            "Option 'way' of chooser 'toy' is 'down', expected one of left, up. Correct it in --chooser-options way",
        ),
        ({"pace": "fast"}, "is 'fast', expected a whole number"),
        ({"pace": "0"}, "Option 'pace' of chooser 'toy' is 0, expected 1 to 65536"),
    ):
        with pytest.raises(ConfigError, match=told):
            typed_chooser_options(words, {"toy": row})
