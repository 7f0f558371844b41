"""Keys of layouts without Latin letters, AZERTY's digits, dead keys: found by their place, and never an exception."""

import sys

import pytest

from app.keymap import control_of
from app.qt import Qt, QtCore, QtGui

NONE, SHIFT, CTRL = (
    Qt.KeyboardModifier.NoModifier,
    Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.ControlModifier,
)
C, A, ONE, TWO, LETTER_I, BRACKET, Q, W = 54, 38, 10, 11, 31, 34, 24, 25
"""X11 key codes."""

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="places are known by X11's key codes")


def control(key: int, text: str, modifiers: Qt.KeyboardModifier, place: int) -> str:
    return control_of(QtGui.QKeyEvent(QtCore.QEvent.Type.KeyPress, key, modifiers, place, 0, 0, text))


@pytest.mark.parametrize(("key", "text"), [(0x421, "с"), (0x393, "γ"), (0x5D1, "ב"), (0x314A, "ㅊ"), (0x43, "c")])
def test_a_letter_of_another_alphabet_is_the_key_at_its_place(key, text) -> None:
    assert control(key, text, NONE, C) == "key:C"
    assert control(key, "", CTRL, C) == "key:Ctrl+C"


@pytest.mark.parametrize(
    ("key", "text", "sign"),
    [(0x425, "х", "["), (Qt.Key.Key_Dead_Circumflex.value, "", "["), (0xD6, "ö", "Ö"), (0xB2, "²", "²")],
)
def test_signs_are_found_by_their_place_where_a_layout_has_letters_or_dead_keys_there(key, text, sign) -> None:
    assert control(key, text, NONE, BRACKET) == f"key:{sign}"


@pytest.mark.parametrize(
    ("key", "text", "place", "digit"), [(0x26, "&", ONE, "1"), (0xC9, "é", TWO, "2"), (0x31, "1", ONE, "1")]
)
def test_azertys_digit_row_is_digits_without_shift(key, text, place, digit) -> None:
    assert control(key, text, NONE, place) == f"key:{digit}"


def test_a_shifted_digit_key_stays_the_sign_it_types() -> None:
    assert control(0x21, "!", SHIFT, ONE) == "key:!"


def test_a_latin_layout_keeps_its_own_letters() -> None:
    assert control(Qt.Key.Key_Q.value, "q", NONE, A) == "key:Q"
    assert control(0xD6, "ö", NONE, 47) == "key:Ö"


@pytest.mark.parametrize(
    ("letter", "sign", "place", "name"),
    [("ש", "'", W, "W"), ("ש", "/", Q, "Q"), ("α", ";", Q, "Q"), ("ь", ",", Q, "Q")],
)
def test_a_sign_in_a_letters_place_is_that_letter_unless_the_layouts_letters_are_latin(
    letter, sign, place, name
) -> None:
    assert control(ord(letter.upper()), letter, NONE, A) == "key:A"
    assert control(ord(sign), sign, NONE, place) == f"key:{name}"
    # Hebrew types Latin capitals with Shift.
    assert control(Qt.Key.Key_W.value, "W", SHIFT, W) == "key:Shift+W"
    assert control(ord(sign), sign, NONE, place) == f"key:{name}"
    # Dvorak, or the other layout.
    assert control(Qt.Key.Key_A.value, "a", NONE, A) == "key:A"
    assert control(ord(sign), sign, NONE, place) == f"key:{sign}"


@pytest.mark.parametrize("key", [0, Qt.Key.Key_unknown.value, Qt.Key.Key_Dead_Circumflex.value, 0x131, 0x130, 0x10FFFF])
@pytest.mark.parametrize("place", [0, LETTER_I, BRACKET])
def test_no_key_is_an_exception(key, place) -> None:
    assert control(key, "", NONE, place).encode().startswith(b"key:")
    assert " " not in control(key, "", NONE, place)


@pytest.mark.parametrize("key", [0, Qt.Key.Key_unknown.value, Qt.Key.Key_Dead_Circumflex.value, 0x131])
def test_a_key_that_types_nothing_known_is_the_letter_at_its_place(key) -> None:
    assert control(key, "", NONE, LETTER_I) == "key:I"
