"""The action table: complete, free of clashes, every row does something."""

from typing import Any

import pytest

from app.actions import ACTIONS, DEVICES, MENUS, cap_of, default_map, key_cap, tooltip_of
from app.qt import QtGui

CONTROLS = {device.prefix: device.controls for device in DEVICES}


def test_no_two_actions_share_a_control_in_meeting_layouts() -> None:
    assert default_map().clashes() == ()


@pytest.mark.parametrize("row", ACTIONS.values(), ids=lambda r: r.id)
def test_every_action_has_words_and_a_known_menu(row: Any) -> None:
    assert row.text[0].isupper()
    assert row.tooltip[0].isupper()
    assert not row.tooltip.endswith(".")
    assert row.menu in MENUS


@pytest.mark.parametrize("row", ACTIONS.values(), ids=lambda r: r.id)
def test_every_control_is_one_a_device_can_send(row: Any) -> None:
    for control in row.controls:
        device, _, name = control.partition(":")
        if device == "key":
            assert name in ("Shift", "Ctrl", "Alt") or QtGui.QKeySequence(name).toString() == name, control
        else:
            assert control in CONTROLS[device]


def test_every_action_is_handled_and_nothing_else(window: Any) -> None:
    assert window.handled == frozenset(ACTIONS)


def test_menus_hold_every_action_that_is_not_held(window: Any) -> None:
    assert set(window.menus.actions) == {a.id for a in ACTIONS.values() if not a.is_held}


def test_caps_and_tooltips_follow_the_map() -> None:
    inputs = default_map({"steer.left": ["key:J"]})
    assert cap_of("steer.left", inputs) == "J"
    assert tooltip_of("drive.hold", inputs).endswith("(Space or Esc)")
    assert key_cap("Ctrl+Return") == "Ctrl+⏎"
