"""The keyboard: one press is one press, however X repeats it; nothing sticks; text fields keep their keys."""

import sys
from typing import Any

import pytest

from app.keymap import POPUP_MS, RELEASE_DELAY_MS, Keyboard
from app.qt import Qt, QtCore, QtGui, QtWidgets
from frs_core.devices.base import Stage
from tests.fakes.keys import KeyEvent, send_key

PRESS, RELEASE = QtCore.QEvent.Type.KeyPress, QtCore.QEvent.Type.KeyRelease
NONE = Qt.KeyboardModifier.NoModifier


@pytest.fixture
def board(qtbot: Any) -> Any:
    """A window with a text field, and its keyboard."""
    window = QtWidgets.QWidget()
    field = QtWidgets.QLineEdit(window)
    qtbot.addWidget(window)
    keyboard = Keyboard(
        window,
        wants=lambda c: c in ("key:Left", "key:Shift", "key:Ctrl+K", "key:.", "key:W", "key:S"),
        always=lambda c: c == "key:Esc",
        urgent=lambda c: c == "key:Space",
    )
    seen: list[tuple[str, Stage]] = []
    keyboard.control_changed.connect(lambda change: seen.append((change.control, change.stage)))
    window.show()
    qtbot.waitExposed(window)
    window.setFocus()
    yield window, field, keyboard, seen
    keyboard.stop()


def send(
    window: QtWidgets.QWidget,
    kind: QtCore.QEvent.Type,
    key: Qt.Key,
    *,
    repeat: bool = False,
    modifiers: Any = NONE,
    at_ms: int | None = None,
) -> None:
    """Send one key event to the window as the window system does."""
    send_key(window, KeyEvent(kind, key, modifiers=modifiers, is_repeat=repeat, at_ms=at_ms))


def test_press_and_release_are_one_each(board: Any, qtbot: Any) -> None:
    window, _, _, seen = board
    send(window, PRESS, Qt.Key.Key_Left)
    send(window, RELEASE, Qt.Key.Key_Left)
    qtbot.waitUntil(lambda: len(seen) == 2, timeout=RELEASE_DELAY_MS * 20)
    assert seen == [("key:Left", Stage.PRESSED), ("key:Left", Stage.RELEASED)]


def test_unflagged_auto_repeat_is_still_one_press(board: Any, qtbot: Any) -> None:
    window, _, keyboard, seen = board
    send(window, PRESS, Qt.Key.Key_Left)
    for i in range(20):
        send(window, RELEASE, Qt.Key.Key_Left, at_ms=1500 + 30 * i)
        send(window, PRESS, Qt.Key.Key_Left, at_ms=1500 + 30 * i)
    assert seen == [("key:Left", Stage.PRESSED)]
    assert keyboard.held == ("key:Left",)
    send(window, RELEASE, Qt.Key.Key_Left)
    qtbot.waitUntil(lambda: len(seen) == 2, timeout=RELEASE_DELAY_MS * 20)


def test_quick_presses_of_one_key_are_all_taken_even_when_they_queued_up(board: Any, qtbot: Any) -> None:
    window, _, keyboard, seen = board
    for i in range(3):
        send(window, PRESS, Qt.Key.Key_Left, at_ms=1000 + 70 * i)
        send(window, RELEASE, Qt.Key.Key_Left, at_ms=1030 + 70 * i)
    qtbot.waitUntil(lambda: len(seen) == 6, timeout=RELEASE_DELAY_MS * 20)
    assert [stage for _, stage in seen] == [Stage.PRESSED, Stage.RELEASED] * 3
    assert keyboard.held == ()


def test_flagged_auto_repeat_is_ignored(board: Any) -> None:
    window, _, _, seen = board
    send(window, PRESS, Qt.Key.Key_Left)
    send(window, PRESS, Qt.Key.Key_Left, repeat=True)
    send(window, RELEASE, Qt.Key.Key_Left, repeat=True)
    assert seen == [("key:Left", Stage.PRESSED)]


def test_a_key_that_is_down_when_the_window_gets_the_focus_back_is_pressed_no_second_time(board: Any) -> None:
    window, _, keyboard, seen = board
    send(window, PRESS, Qt.Key.Key_Left)
    QtWidgets.QApplication.sendEvent(window, QtCore.QEvent(QtCore.QEvent.Type.WindowDeactivate))
    send(window, PRESS, Qt.Key.Key_Left, repeat=True)
    assert seen == [("key:Left", Stage.PRESSED), ("key:Left", Stage.RELEASED)]
    assert keyboard.held == ()
    send(window, RELEASE, Qt.Key.Key_Left)
    send(window, PRESS, Qt.Key.Key_Left)
    assert seen[2:] == [("key:Left", Stage.PRESSED)]


def test_losing_the_window_releases_everything_at_once(board: Any) -> None:
    window, _, keyboard, seen = board
    send(window, PRESS, Qt.Key.Key_Left)
    QtWidgets.QApplication.sendEvent(window, QtCore.QEvent(QtCore.QEvent.Type.WindowDeactivate))
    assert seen[-1] == ("key:Left", Stage.RELEASED)
    assert keyboard.held == ()


def test_a_text_field_keeps_its_arrows_but_not_escape(board: Any) -> None:
    window, field, _, seen = board
    field.setFocus()
    send(window, PRESS, Qt.Key.Key_Left)
    assert seen == []
    send(window, PRESS, Qt.Key.Key_Escape)
    assert seen == [("key:Esc", Stage.PRESSED)]


def test_a_command_key_works_while_typing(board: Any) -> None:
    window, field, _, seen = board
    field.setFocus()
    send(window, PRESS, Qt.Key.Key_K, modifiers=Qt.KeyboardModifier.ControlModifier)
    assert seen == [("key:Ctrl+K", Stage.PRESSED)]


def test_shift_does_not_hide_a_steering_key(board: Any) -> None:
    window, _, _, seen = board
    send(window, PRESS, Qt.Key.Key_Shift, modifiers=Qt.KeyboardModifier.ShiftModifier)
    send(window, PRESS, Qt.Key.Key_Left, modifiers=Qt.KeyboardModifier.ShiftModifier)
    assert [c for c, _ in seen] == ["key:Shift", "key:Left"]


COLON_KEY, SHIFT_KEY = 59, 50


def test_a_key_is_released_and_pressed_again_whatever_shift_made_of_it_meanwhile(board: Any, qtbot: Any) -> None:
    """On AZERTY a full stop is Shift and the key of the semicolon, and a quick hand lets go of Shift first."""
    window, _, keyboard, seen = board
    shifted = Qt.KeyboardModifier.ShiftModifier
    for count in (1, 2):
        for kind, code, modifiers, place in (
            (PRESS, Qt.Key.Key_Shift, shifted, SHIFT_KEY),
            (PRESS, Qt.Key.Key_Period, shifted, COLON_KEY),
            (RELEASE, Qt.Key.Key_Shift, NONE, SHIFT_KEY),
            (RELEASE, Qt.Key.Key_Semicolon, NONE, COLON_KEY),
        ):
            text = "." if code is Qt.Key.Key_Period else ""
            send_key(window, KeyEvent(kind, code, modifiers=modifiers, place=place, text=text))
        qtbot.waitUntil(lambda: not keyboard.held, timeout=RELEASE_DELAY_MS * 20)
        assert [stage for control, stage in seen if control == "key:."] == [Stage.PRESSED, Stage.RELEASED] * count


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="places are known by X11's key codes")
def test_two_keys_that_type_one_letter_are_two_keys(board: Any, qtbot: Any) -> None:
    """Greek has a sigma in the places of W and of S."""
    window, _, keyboard, seen = board
    sigma, w, s = 0x3A3, 25, 39
    send_key(window, KeyEvent(PRESS, sigma, place=w))
    send_key(window, KeyEvent(PRESS, sigma, place=s))
    send_key(window, KeyEvent(RELEASE, sigma, place=s))
    qtbot.waitUntil(lambda: len(seen) == 3, timeout=RELEASE_DELAY_MS * 20)
    assert seen == [("key:W", Stage.PRESSED), ("key:S", Stage.PRESSED), ("key:S", Stage.RELEASED)]
    assert keyboard.held == ("key:W",)


def test_unwanted_keys_go_on_to_the_widgets(board: Any) -> None:
    window, field, _, seen = board
    field.setFocus()
    send(window, PRESS, Qt.Key.Key_J)
    assert seen == []


def test_an_open_menu_keeps_its_keys_but_not_those_that_are_urgent(board: Any, qtbot: Any) -> None:
    window, _, _, seen = board
    menu = QtWidgets.QMenu(window)
    chosen: list[bool] = []
    menu.addAction("Resume", lambda: chosen.append(True))
    menu.popup(window.mapToGlobal(QtCore.QPoint(5, 5)))
    menu.setActiveAction(menu.actions()[0])
    qtbot.wait(3 * POPUP_MS)
    send(menu, PRESS, Qt.Key.Key_Left)
    assert seen == []
    send(menu, PRESS, Qt.Key.Key_Space)
    assert seen == [("key:Space", Stage.PRESSED), ("key:Space", Stage.RELEASED)]
    assert menu.isVisible()
    assert not chosen
    menu.close()


def test_a_menu_that_opens_releases_keys_whose_release_only_it_will_see(board: Any, qtbot: Any) -> None:
    window, _, keyboard, seen = board
    menu = QtWidgets.QMenu(window)
    menu.addAction("A task")
    send(window, PRESS, Qt.Key.Key_Left)
    menu.popup(window.mapToGlobal(QtCore.QPoint(5, 5)))
    qtbot.waitUntil(lambda: keyboard.held == (), timeout=20_000)
    send(menu, RELEASE, Qt.Key.Key_Left)
    menu.close()
    send(window, PRESS, Qt.Key.Key_Left)
    assert [stage for _, stage in seen] == [Stage.PRESSED, Stage.RELEASED, Stage.PRESSED]


def test_a_key_whose_release_was_lost_is_taken_the_next_time(board: Any) -> None:
    window, _, keyboard, seen = board
    menu = QtWidgets.QMenu(window)
    menu.addAction("A task")
    send(window, PRESS, Qt.Key.Key_Left)
    menu.popup(window.mapToGlobal(QtCore.QPoint(5, 5)))
    send(menu, RELEASE, Qt.Key.Key_Left)
    menu.close()
    send(window, PRESS, Qt.Key.Key_Left)
    assert [stage for _, stage in seen] == [Stage.PRESSED, Stage.RELEASED, Stage.PRESSED]
    assert keyboard.held == ("key:Left",)


def test_a_key_that_holds_leaves_the_field_so_that_the_next_key_is_a_command(board: Any) -> None:
    window, field, _, seen = board
    field.setFocus()
    send(window, PRESS, Qt.Key.Key_Escape)
    assert not field.hasFocus()
    send(window, PRESS, Qt.Key.Key_Left)
    assert seen[-1] == ("key:Left", Stage.PRESSED)


def test_a_press_of_the_mouse_outside_leaves_the_field_and_one_inside_does_not(board: Any) -> None:
    window, field, _, _ = board
    window.resize(300, 200)
    field.setGeometry(0, 0, 100, 30)

    def press(x: float, y: float) -> None:
        at = QtCore.QPointF(x, y)
        press, left = QtCore.QEvent.Type.MouseButtonPress, Qt.MouseButton.LeftButton
        event = QtGui.QMouseEvent(press, at, window.mapToGlobal(at), left, left, NONE)
        QtWidgets.QApplication.sendEvent(window.windowHandle(), event)

    field.setFocus()
    press(50, 15)
    assert field.hasFocus()
    press(200, 150)
    assert not field.hasFocus()


def test_undo_belongs_to_a_field_only_while_it_has_something_to_undo(board: Any) -> None:
    window, field, keyboard, seen = board
    keyboard._wants = lambda c: c == "key:Ctrl+Z"
    field.setFocus()
    ctrl = Qt.KeyboardModifier.ControlModifier
    field.insert("typed")
    send(window, PRESS, Qt.Key.Key_Z, modifiers=ctrl)
    assert seen == []
    assert field.text() == ""
    send(window, PRESS, Qt.Key.Key_Z, modifiers=ctrl)
    assert seen == [("key:Ctrl+Z", Stage.PRESSED)]
