"""The page of failsafes names every cause of Hold, and sets only what the session lets be set."""

import dataclasses
from typing import Any

from app import theme
from app.qt import QtWidgets
from app.settings import SettingsFile
from app.views.failsafes import NO_HOLD, FailsafePage, robot_text
from app.views.widgets import size_dialog
from frs_core.events import HoldReason, Phase, SetFailsafe
from frs_core.session.failsafes import FAILSAFES, SETTABLE, values_of
from frs_core.session.options import SessionOptions
from tests.fakes.snapshots import resting, snapshot
from tests.fakes.world import PointWorld

USED = values_of(SessionOptions())


def open_page(window: Any) -> FailsafePage:
    window.run("settings.failsafes")
    return window.findChild(FailsafePage)


def test_the_page_shows_every_cause_with_limit_and_remedy(window: Any) -> None:
    window.take(dataclasses.replace(resting(), failsafes=USED))
    page = open_page(window)
    causes = {page.table.item(i, 0).text() for i in range(page.table.rowCount())}
    assert causes - {NO_HOLD} == {
        reason.value.partition(". ")[0]
        for reason in HoldReason
        if reason not in (HoldReason.START, HoldReason.EPISODE_END)
    }
    assert set(page.fields) == set(SETTABLE)
    assert page.fields["inference_timeout_s"].value() == 3.0
    assert "workspace from" in page.robot.text()
    assert robot_text(None).startswith("The robot's limits are known")
    assert "rad between actions" in robot_text(dataclasses.replace(PointWorld().spec.limits, joint_jump=0.1))
    page.reject()


def test_a_limit_that_is_set_is_asked_of_the_session_and_kept_once_it_is_used(
    window: Any, port: Any, tmp_path: Any
) -> None:
    window.take(dataclasses.replace(resting(), failsafes=USED))
    page = open_page(window)
    page.fields["unattended_chunks"].setValue(12)
    assert page.fields["unattended_chunks"].text() == "12 chunks"
    assert port.of(SetFailsafe) == [SetFailsafe("unattended_chunks", 12.0)]
    assert window.settings.values.failsafes == {}
    window.take(dataclasses.replace(resting(), failsafes={**USED, "unattended_chunks": 12.0}))
    assert window.settings.values.failsafes == {"unattended_chunks": 12.0}
    window._save_if_changed()
    assert SettingsFile(tmp_path / "config").values.failsafes == {"unattended_chunks": 12.0}
    page.defaults.click()
    assert {c.option: c.value for c in port.of(SetFailsafe)[1:]} == {o: row.limit for o, row in SETTABLE.items()}
    page.reject()


def test_limits_can_be_set_only_while_the_robot_holds(window: Any) -> None:
    window.take(dataclasses.replace(snapshot(), failsafes=USED))
    page = open_page(window)
    assert not any(field.isEnabled() for field in page.fields.values())
    window.take(dataclasses.replace(snapshot(phase=Phase.HOLD, hold_reason=HoldReason.FOCUS_LOST), failsafes=USED))
    assert all(field.isEnabled() for field in page.fields.values())
    page.reject()


def test_one_chunk_is_no_chunks(window: Any) -> None:
    window.take(dataclasses.replace(resting(), failsafes={**USED, "unattended_chunks": 12.0}))
    page = open_page(window)
    field = page.fields["unattended_chunks"]
    for value, text in ((1.0, "1 chunk"), (2.0, "2 chunks")):
        page.show_snapshot(dataclasses.replace(resting(), failsafes={**USED, "unattended_chunks": value}))
        assert field.text() == text
    field.setValue(1)
    assert field.text() == "1 chunk"
    page.reject()


def test_what_was_set_before_is_sent_once_the_session_speaks(make_window: Any, port: Any) -> None:
    window = make_window()
    window.settings.values.failsafes = {"inference_timeout_s": 5.0}
    window.take(dataclasses.replace(resting(), failsafes=USED))
    window.take(dataclasses.replace(resting(), failsafes=USED))
    assert port.of(SetFailsafe) == [SetFailsafe("inference_timeout_s", 5.0)]


def test_a_damaged_setting_of_limits_is_refused_by_itself(tmp_path: Any) -> None:
    (tmp_path / "settings.json").write_text('{"failsafes": {"inference_timeout_s": "long"}, "theme": "light"}')
    file = SettingsFile(tmp_path)
    assert file.values.failsafes == {}
    assert file.values.theme == "light"
    assert "expected names of limits with numbers" in file.warnings[0]


def test_every_row_says_what_to_do_and_every_setting_has_a_range_around_its_default() -> None:
    assert all(row.remedy and row.trips and row.place in ("window", "session", "robot") for row in FAILSAFES)
    for option, row in SETTABLE.items():
        assert row.limit == getattr(SessionOptions(), option)
        assert row.low <= row.limit <= row.high


def test_a_dialog_is_no_larger_than_its_screen_and_grows_with_the_display_size(window: Any, qapp: Any) -> None:
    room = window.screen().availableSize()
    page = open_page(window)
    assert page.width() < room.width()
    assert page.height() < room.height()
    page.reject()
    dialog = QtWidgets.QDialog(window)
    theme.apply(qapp, theme.DARK, scale=1.5)
    size_dialog(dialog, 200, 100)
    assert (dialog.width(), dialog.height()) == (300, 150)
