"""The window: every action can be run, focus and layouts hold the robot, cards do not, errors are shown."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest

from app import theme
from app.actions import ACTIONS, DRIVE
from app.crash import CrashGuard
from app.facts import Facts
from app.main import run_window
from app.qt import Qt, QtCore, QtGui, QtWidgets
from app.settings import SettingsFile
from app.views.arming import Checklist
from app.window import CockpitWindow
from app.workers import later
from frs_core.choosers import registry
from frs_core.choosers.registry import ChooserSpec
from frs_core.devices.base import ControlChange, DeviceNotice, InputDevice, Stage
from frs_core.events import (
    BackOneChunk,
    Driver,
    EndEpisode,
    Heartbeat,
    HoldReason,
    Latency,
    Outcome,
    Pacing,
    Phase,
    Pick,
    Reconnect,
    RequestHold,
    Resume,
    StartEpisode,
)
from tests.fakes.keys import type_key as key
from tests.fakes.snapshots import resting, snapshot
from tests.waiting import LONG_MS

ELSEWHERE = {"app.quit", "help.about"}


@pytest.mark.parametrize("action", [a for a in ACTIONS if a not in ELSEWHERE])
@pytest.mark.parametrize("state", ["choose", "rest"])
def test_every_action_can_be_run_at_any_time(window: Any, action: str, state: str) -> None:
    window.take(snapshot() if state == "choose" else resting())
    window.run(action)
    window.take(snapshot())


@pytest.mark.parametrize(
    ("code", "label"),
    [
        (Qt.Key.Key_Left, "left/more"),
        (Qt.Key.Key_W, "forward/more"),
        (Qt.Key.Key_PageUp, "up/more"),
        (Qt.Key.Key_E, "down/more"),
        (Qt.Key.Key_Return, "unsteered"),
        (Qt.Key.Key_H, "stay/close"),
    ],
)
def test_one_key_press_is_one_pick(window: Any, port: Any, code: Qt.Key, label: str) -> None:
    key(window, code)
    assert [p.label for p in port.of(Pick)] == [label]
    assert port.of(Pick)[0].pressed_ns > 0


def test_space_and_escape_hold(window: Any, port: Any) -> None:
    key(window, Qt.Key.Key_Space, text=" ")
    key(window, Qt.Key.Key_Escape)
    assert [h.reason for h in port.of(RequestHold)] == [HoldReason.OPERATOR] * 2


def test_space_types_a_space_in_a_note_but_holds_a_moving_robot(window: Any, port: Any, qtbot: Any) -> None:
    window.run("episode.note")
    qtbot.waitUntil(lambda: window.drive.episode.note.hasFocus(), timeout=LONG_MS)
    key(window, Qt.Key.Key_Space, text=" ")
    assert port.of(RequestHold) == []
    window.take(snapshot(phase=Phase.MOVING))
    key(window, Qt.Key.Key_Space, text=" ")
    assert len(port.of(RequestHold)) == 1


def test_losing_the_focus_holds_whatever_the_last_snapshot_said(window: Any, port: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(window, "isActiveWindow", lambda: False)
    window.changeEvent(QtCore.QEvent(QtCore.QEvent.Type.ActivationChange))
    assert [h.reason for h in port.of(RequestHold)] == [HoldReason.FOCUS_LOST]
    port.sent.clear()
    window.take(resting())
    window.changeEvent(QtCore.QEvent(QtCore.QEvent.Type.ActivationChange))
    # A start may be on its way; what there is to hold, the session knows.
    assert [h.reason for h in port.of(RequestHold)] == [HoldReason.FOCUS_LOST]


def test_leaving_drive_holds_and_steering_keys_mean_other_things_there(window: Any, port: Any) -> None:
    key(window, Qt.Key.Key_2, text="2")
    assert window.layout_name == "review"
    assert len(port.of(RequestHold)) == 1
    key(window, Qt.Key.Key_Left)
    assert port.of(Pick) == []
    key(window, Qt.Key.Key_1, text="1")
    assert window.layout_name == "drive"


def test_a_card_takes_the_keys_and_escape_closes_it_without_holding(window: Any, port: Any) -> None:
    key(window, Qt.Key.Key_F1)
    assert window.cards.overlays["help"].isVisible()
    key(window, Qt.Key.Key_Left)
    assert port.of(Pick) == []
    key(window, Qt.Key.Key_Escape)
    assert not window.cards.overlays["help"].isVisible()
    assert port.of(RequestHold) == []


def test_escape_on_a_card_still_holds_a_moving_robot(window: Any, port: Any) -> None:
    key(window, Qt.Key.Key_F1)
    window.take(snapshot(phase=Phase.MOVING, driver=Driver.LEARNED))
    key(window, Qt.Key.Key_Escape)
    assert len(port.of(RequestHold)) == 1


def test_the_palette_finds_and_runs(window: Any, port: Any, qtbot: Any) -> None:
    window.run("help.palette")
    window.cards.palette.line.setText("don't record")
    assert window.cards.palette.found()[0] == "episode.practice"
    was = window.drive.episode.unrecorded.isChecked()
    qtbot.keyClick(window.cards.palette.line, Qt.Key.Key_Return)
    assert window.drive.episode.unrecorded.isChecked() is not was
    assert not window.cards.overlays["palette"].isVisible()


def test_start_sends_task_and_scene_and_counts_the_scene_up(make_window: Any, port: Any) -> None:
    window = make_window()
    window.drive.episode.seed.setValue(7)
    window.run("episode.start")
    first = port.of(StartEpisode)[0]
    assert (first.task, first.seed) == (port.world_spec.tasks[0], 7)
    assert window.drive.episode.seed.value() == 8


def test_labels_carry_the_note(window: Any, port: Any) -> None:
    seen = snapshot()
    window.take(dataclasses.replace(seen, episode=dataclasses.replace(seen.episode, success_seen=True)))
    window.drive.episode.note.setText("slipped once")
    key(window, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert port.of(EndEpisode) == [EndEpisode(Outcome.SUCCESS, note="slipped once")]
    assert window.drive.episode.note.text() == ""


def test_backspace_goes_back_one_chunk_in_simulation_only(window: Any, port: Any, qtbot: Any) -> None:
    key(window, Qt.Key.Key_Backspace)
    assert len(port.of(BackOneChunk)) == 1
    # A second press counts once the release of the first has been believed.
    qtbot.waitUntil(lambda: window.inputs.keyboard.held == (), timeout=LONG_MS)
    window.facts.is_simulated = False
    key(window, Qt.Key.Key_Backspace)
    assert len(port.of(BackOneChunk)) == 1
    assert any("simulation" in t for t in window.toasts.texts)


def test_a_fault_shows_a_banner_with_the_way_out(window: Any) -> None:
    window.take(snapshot(phase=Phase.FAULT, detail="The world process ended. Its exit code was -9."))
    assert window.banner.text == "The world process ended."
    window.take(snapshot())
    assert window.banner.text == ""


def test_heartbeats_keep_coming(window: Any, port: Any, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: len(port.of(Heartbeat)) >= 3, timeout=LONG_MS)


def test_a_notice_of_the_session_is_toasted_once(window: Any) -> None:
    for _ in range(3):
        window.take(snapshot(notice=(1, "The fan is still being made")))
    assert window.toasts.texts.count("The fan is still being made") == 1


def test_snapshots_from_another_thread_arrive_merged(window: Any, port: Any, qtbot: Any) -> None:
    import threading

    seen: list[Any] = []
    window.bridge.snapshot_arrived.connect(seen.append)
    news = [snapshot(chunk_row=i) for i in range(50)]
    thread = threading.Thread(target=lambda: [port.publish(s) for s in news])
    thread.start()
    thread.join()
    qtbot.waitUntil(lambda: bool(seen) and seen[-1] is news[-1], timeout=LONG_MS)
    assert len(seen) < 50


class FakeDevice(InputDevice):
    """A device that does what it is told."""

    kind, controls = "gamepad", ("pad:dpad_left",)

    def __init__(self) -> None:
        self.events: list[Any] = []

    def poll(self) -> list[Any]:
        """Return what waits."""
        events, self.events = self.events, []
        return events

    names = ("Fake pad",)
    status = "Connected: Fake pad"
    levels: dict[str, float] = {}  # noqa: RUF012

    def close(self) -> None:
        """Nothing to close."""


def test_an_unplugged_device_releases_and_holds_in_mid_chunk(window: Any, port: Any) -> None:
    device = FakeDevice()
    window.inputs.devices.append(device)
    window.take(snapshot(pacing=Pacing.CONTINUOUS))
    device.events = [ControlChange("gamepad", "pad:dpad_left", Stage.PRESSED, 1.0, 10**18)]
    window.inputs.poll()
    device.events = [DeviceNotice("gamepad", "Fake pad", False)]
    window.inputs.poll()
    assert [h.reason for h in port.of(RequestHold)] == [HoldReason.DEVICE_LOST]
    assert any("unplugged" in t for t in window.toasts.texts)


def test_the_editor_refuses_a_taken_key_and_saves_a_free_one(window: Any) -> None:
    window.run("settings.devices")
    editor = window.cards.devices.editor
    editor.choose("steer.left")
    editor.add_control("key:Right")
    assert "already bound to" in editor.message.text()
    assert "key:Right" not in window.inputs.map.controls("steer.left")
    editor.add_control("key:F7")
    assert "key:F7" in window.inputs.map.controls("steer.left")
    assert window.settings.values.input_map["steer.left"][-1] == "key:F7"
    editor.choose("drive.hold")
    editor.remove.click()
    assert "Hold needs" in editor.message.text()


def test_the_editor_listens_for_the_next_key(window: Any, port: Any) -> None:
    window.run("settings.devices")
    editor = window.cards.devices.editor
    editor.choose("steer.up")
    editor.listen()
    key(window, Qt.Key.Key_F7)
    assert "key:F7" in window.inputs.map.controls("steer.up")
    assert port.of(Pick) == []


def test_the_first_start_greets_once(make_window: Any, qtbot: Any) -> None:
    window = make_window(has_seen=False)
    qtbot.waitUntil(lambda: window.cards.overlays["first"].isVisible(), timeout=LONG_MS)
    window.cards.first_run.button.click()
    assert window.settings.values.has_seen_first_run
    assert not window.cards.overlays["first"].isVisible()


@pytest.mark.parametrize("how", [Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space, Qt.Key.Key_Escape])
def test_the_first_card_is_closed_by_keyboard_and_not_shown_again(make_window: Any, qtbot: Any, how: Qt.Key) -> None:
    window = make_window(has_seen=False)
    qtbot.waitUntil(lambda: window.cards.overlays["first"].isVisible(), timeout=LONG_MS)
    key(window, how)
    if window.cards.is_open("first"):
        # Offscreen nothing passes a key from the QWindow on to the widget that has the focus.
        qtbot.keyClick(window.cards.first_run.button, how)
    assert not window.cards.is_open("first")
    assert window.settings.values.has_seen_first_run


@pytest.mark.parametrize("card", ["first", "help", "palette"])
def test_a_fault_is_left_by_its_key_under_a_card_too(window: Any, port: Any, card: str) -> None:
    window.take(dataclasses.replace(resting(), phase=Phase.FAULT, hold_reason=HoldReason.WORLD_LOST))
    window.toggle_card(card)
    key(window, Qt.Key.Key_R, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert len(port.of(Reconnect)) == 1


def test_a_card_keeps_the_keys_that_move_the_robot_or_type(window: Any, port: Any) -> None:
    window.toggle_card("first")
    for code, text in ((Qt.Key.Key_Left, ""), (Qt.Key.Key_N, "n"), (Qt.Key.Key_2, "2")):
        key(window, code, text=text)
    key(window, Qt.Key.Key_Backspace, Qt.KeyboardModifier.ControlModifier)
    assert port.of(Pick) == port.of(StartEpisode) == port.of(EndEpisode) == []
    assert window.layout_name == "drive"
    dark = theme.current().is_dark
    key(window, Qt.Key.Key_T, Qt.KeyboardModifier.ControlModifier)
    assert theme.current().is_dark is not dark
    assert window.cards.is_open("first")


@pytest.mark.parametrize("strip", ["question", "countdown"])
@pytest.mark.parametrize("size", [(1024, 700), (1280, 800)])
def test_no_message_covers_a_button_below_the_images(
    window: Any, strip: str, size: tuple[int, int], qtbot: Any
) -> None:
    window.resize(*size)
    for text in ("short", "a message that is long enough for two lines of text in any window"):
        window.say(text, "info")
    if strip == "question":
        window.drive.question.ask(window.snapshot, Outcome.SUCCESS, "The simulator does not report success")
    else:
        window.drive.countdown.show_countdown("Learned drives", 3)
    rows = [getattr(window.drive, strip), window.drive.steering, window.drive.episode]

    def covered() -> list[Any]:
        host = window.centralWidget()
        places = [QtCore.QRect(row.mapTo(host, QtCore.QPoint()), row.size()) for row in rows]
        return [toast.text for toast in window.toasts._shown if any(toast.geometry().intersects(at) for at in places)]

    qtbot.waitUntil(lambda: rows[0].height() > 20 and covered() == [], timeout=LONG_MS)
    window.show_layout("train")
    assert len(window.toasts.texts) == 2
    window.toasts.clear()


def test_tab_stays_on_the_open_card(make_window: Any, qtbot: Any) -> None:
    window = make_window(has_seen=False)
    qtbot.waitUntil(lambda: window.cards.overlays["first"].isVisible(), timeout=LONG_MS)
    card = window.cards.first_run
    for _ in range(4):
        card.focusNextPrevChild(True)
        assert card.isAncestorOf(QtWidgets.QApplication.focusWidget() or window)


@pytest.mark.parametrize("name", ["light", "dark"])
def test_themes_repaint_every_layout(window: Any, name: str) -> None:
    window.use_theme(name)
    for layout in ("drive", "review", "train"):
        window.show_layout(layout)
        assert not window.grab().toImage().isNull()


@pytest.mark.parametrize("size", [(1280, 800), (1920, 1080), (1024, 700)])
def test_nothing_is_clipped(window: Any, size: tuple[int, int], qtbot: Any) -> None:
    window.resize(*size)
    for layout in ("drive", "review", "train"):
        window.show_layout(layout)
        QtWidgets.QApplication.processEvents()
        for button in window.findChildren(QtWidgets.QAbstractButton):
            if button.isVisible() and button.text():
                box = QtCore.QRect(button.mapTo(window, QtCore.QPoint(0, 0)), button.size())
                assert window.rect().contains(box), (layout, button.text(), box)


@pytest.mark.parametrize("size", [(1280, 800), (1024, 768)])
def test_no_control_of_the_bars_is_cut_with_more_choosers(
    make_window: Any, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    more = {i: ChooserSpec(i, "Follower", "It follows", "Never", "It picked", "none:none") for i in ("one", "two")}
    monkeypatch.setattr(registry, "KNOWN", {**registry.KNOWN, **more})
    window = make_window(drivers=(Driver.PERSON, Driver("two")))
    window.resize(*size)
    window.take(snapshot())
    QtWidgets.QApplication.processEvents()
    assert (window.width(), window.height()) == size
    for bar in (window.drive.steering, window.drive.episode):
        shown = [w for w in bar.findChildren(QtWidgets.QWidget) if w.isVisible()]
        assert len(shown) > 10
        for widget in shown:
            box = QtCore.QRect(widget.mapTo(window, QtCore.QPoint(0, 0)), widget.size())
            assert window.rect().contains(box), (widget, box)
            assert widget.width() >= min(widget.minimumSizeHint().width(), widget.maximumWidth()), widget
    drivers = window.drive.steering.driver
    assert drivers.is_menu
    assert [entry.text() for entry in drivers.menu_button.menu().actions()][-2:] == ["Follower", "Follower"]
    chosen: list[object] = []
    window.drive.steering.driver_chosen.connect(chosen.append)
    drivers.menu_button.menu().actions()[-1].trigger()
    assert chosen == [Driver("two")]
    assert drivers.menu_button.text() == "Follower"


@pytest.mark.parametrize("size", [(1024, 700), (1280, 800)])
def test_the_key_help_cuts_no_text(window: Any, size: tuple[int, int]) -> None:
    window.resize(*size)
    window.toggle_card("help")
    QtWidgets.QApplication.processEvents()
    table = window.cards.help.table
    metrics, last = QtGui.QFontMetrics(table.font()), table.columnCount() - 1
    sections = [table.topLevelItem(i) for i in range(table.topLevelItemCount())]
    rows = [section.child(i) for section in sections for i in range(section.childCount())]
    assert len(rows) > 30
    for column in range(last):
        widest = max(metrics.horizontalAdvance(row.text(column)) for row in rows)
        assert widest < table.columnWidth(column) - (table.indentation() if column == 0 else 0)
    for row in rows:
        cell = table.visualItemRect(row)
        room = QtCore.QRect(0, 0, table.columnWidth(last) - 8, 1000)
        wrapped = metrics.boundingRect(room, Qt.TextFlag.TextWordWrap, row.text(last))
        assert wrapped.height() <= cell.height()
        assert wrapped.width() <= room.width()
    assert window.cards.overlays["help"].rect().contains(window.cards.help.geometry())
    assert table.header().length() <= table.viewport().width()


def test_an_uncaught_exception_is_reported_with_its_details() -> None:
    guard, said = CrashGuard(), []
    guard.on_crash = lambda sentence, details: said.append((sentence, details))
    guard.install()
    try:
        sys.excepthook(ValueError, ValueError("no such row"), None)
    finally:
        guard.remove()
    assert said[0][0] == "An internal error occurred: ValueError: no such row."
    assert guard.count == 1


def test_an_exception_in_a_slot_holds_the_robot_and_tells_the_operator(qapp: Any, port: Any, tmp_path: Path) -> None:
    guard, said, shown = CrashGuard(), list[str](), list[CockpitWindow]()

    def fail() -> None:
        raise ValueError("no such row")

    def on_ready(window: CockpitWindow) -> None:
        shown.append(window)
        window.crashed.connect(lambda _text: (said.append(window.banner.text), window.close()))
        later(window, 0, fail)

    guard.install()
    try:
        status = run_window(
            port, Facts("point", "toy"), SettingsFile(tmp_path), guard=guard, has_devices=False, on_ready=on_ready
        )
    finally:
        guard.remove()
    assert port.of(RequestHold)[0].reason is HoldReason.EXCEPTION
    assert said == ["An internal error occurred: ValueError: no such row."]
    assert status == 0
    with pytest.raises(RuntimeError, match="deleted"):
        shown[0].isVisible()


def test_screen_readers_hear_every_button(window: Any) -> None:
    for button in window.findChildren(QtWidgets.QAbstractButton):
        if button.isVisible():
            assert button.accessibleName() or button.text(), button


def test_a_pending_success_is_offered(window: Any) -> None:
    window.take(snapshot(episode=dataclasses.replace(snapshot().episode, success_seen=True)))
    assert window.drive.episode.success.text().endswith("?")
    assert any("looks done" in t for t in window.toasts.texts)


def test_the_offer_of_a_success_ends_with_its_episode(window: Any) -> None:
    first = dataclasses.replace(snapshot().episode, number=1, success_seen=True)
    for episode, is_offered in (
        (first, True),
        (dataclasses.replace(first, number=2, success_seen=False), False),
        (dataclasses.replace(first, number=2), True),
        (dataclasses.replace(first, number=3), True),
    ):
        window.take(snapshot(episode=episode))
        assert ("The task looks done" in window.toasts.texts) is is_offered


def test_no_episode_starts_before_the_world_has_said_whether_it_is_a_robot(make_window: Any, port: Any) -> None:
    known, port.world_spec = port.world_spec, None
    window = make_window()
    assert not window.facts.is_simulated
    key(window, Qt.Key.Key_N)
    key(window, Qt.Key.Key_Y)
    assert port.of(StartEpisode) == []
    assert "The robot or simulator is still starting; start the episode once it is there" in window.toasts.texts
    port.world_spec = dataclasses.replace(known, is_simulated=False)
    window.take(resting())
    key(window, Qt.Key.Key_N)
    assert port.of(StartEpisode) == []
    window.findChild(Checklist).reject()


@pytest.mark.parametrize("layout", ["review", "train", "practise"])
def test_resume_on_another_page_shows_drive_before_anything_can_move(window: Any, port: Any, layout: str) -> None:
    window.show_layout(layout)
    window.take(snapshot(phase=Phase.HOLD, hold_reason=HoldReason.PAGE_LEFT))
    window.menus.actions["drive.resume"].trigger()
    assert window.layout_name == "drive"
    assert len(port.of(Resume)) == 1
    assert [type(c) for c in port.sent][-1] is Resume


def test_every_action_of_drive_is_done_in_drive(window: Any) -> None:
    for row in ACTIONS.values():
        if row.scope == DRIVE and not row.is_held:
            window.show_layout("review")
            window.run(row.id)
            assert window.layout_name == "drive", row.id
            window.cards.close()
    for dialog in window.findChildren(QtWidgets.QDialog):
        dialog.reject()


def test_choices_are_kept_without_closing(window: Any) -> None:
    window.run("knob.step")
    window._save_if_changed()
    assert '"amount": "less"' in window.settings.path.read_text()


def test_pictures_grow_old_on_screen_when_nothing_arrives(window: Any, qtbot: Any) -> None:
    window.take(snapshot())
    view = window.drive.cameras.views[window.drive.cameras.primary]
    qtbot.waitUntil(lambda: view.model.age_s > 0.6, timeout=LONG_MS)
    assert float(window.state._numbers["camera"].text().split()[0]) > 0


def test_while_the_robot_moves_the_window_goes_on_without_snapshots_and_rests_after(window: Any, qtbot: Any) -> None:
    window.take(snapshot(phase=Phase.MOVING, picked="left/more", chunk_row=1, chunk_rows=8))
    view = window.drive.cameras.views["left"]
    ages = {view.model.age_s}
    qtbot.waitUntil(lambda: ages.add(view.model.age_s) or len(ages) > 4, timeout=LONG_MS)
    assert view.model.rows_done == pytest.approx(2.0)
    window.take(snapshot())
    qtbot.waitUntil(lambda: not window.repaints.pulse.isActive(), timeout=LONG_MS)


def test_a_button_taken_by_the_editor_is_not_acted_on(window: Any, port: Any) -> None:
    device = FakeDevice()
    window.inputs.devices.append(device)
    window.run("settings.devices")
    editor = window.cards.devices.editor
    editor.choose("knob.seed")
    editor.listen()
    device.events = [ControlChange("gamepad", "pad:start", Stage.PRESSED, 1.0, 10**18)]
    window.inputs.poll()
    assert port.of(RequestHold) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"phase": Phase.CHOOSE, "pacing": Pacing.CONTINUOUS},
        {"phase": Phase.CHOOSE, "driver": Driver.LEARNED},
        {"phase": Phase.HOLD, "hold_reason": HoldReason.START, "detail": "Setting the scene"},
    ],
)
def test_hold_keys_win_over_cards_and_notes_wherever_motion_can_come_by_itself(
    window: Any, port: Any, qtbot: Any, fields: dict[str, Any]
) -> None:
    window.take(snapshot(**fields))
    window.toggle_card("help")
    key(window, Qt.Key.Key_Escape)
    assert len(port.of(RequestHold)) == 1
    window.run("episode.note")
    qtbot.waitUntil(lambda: window.drive.episode.note.hasFocus(), timeout=LONG_MS)
    key(window, Qt.Key.Key_Space, text=" ")
    assert len(port.of(RequestHold)) == 2


@pytest.mark.parametrize("width", [1024, 1280])
def test_nothing_in_the_state_bar_covers_the_sentence(window: Any, width: int, qtbot: Any) -> None:
    window.resize(width, 800)
    late = Latency(loop_hz=15.0, encode_ms=40.0, steer_ms=78.0, network_ms=12.0)
    window.take(snapshot(latency=late))
    bar = window.state
    qtbot.waitUntil(lambda: bar.sentence.x() >= bar.badge.x() + bar.badge.width(), timeout=20_000)
    assert bar.sentence.width() >= bar.sentence.minimumWidth()
    assert bar._boxes["camera"].isVisible()


@pytest.mark.parametrize("width", [1024, 1280, 1920])
@pytest.mark.parametrize(
    "fields",
    [
        {
            "phase": Phase.MOVING,
            "picked": "forward/more/close",
            "picked_by": Driver.PERSON,
            "waiting": "left/less/close",
        },
        {"phase": Phase.HOLD, "hold_reason": HoldReason.SUCCESS_SEEN},
        {
            "phase": Phase.HOLD,
            "hold_reason": HoldReason.CAMERA_STALE,
            "detail": "Camera 'left' gave no fresh frame for 0.6 s.",
        },
    ],
)
def test_the_state_bar_shows_its_sentence_whole(window: Any, width: int, fields: dict[str, Any]) -> None:
    window.resize(width, 800)
    window.take(snapshot(**fields))
    window.state.layout().activate()
    QtWidgets.QApplication.processEvents()
    _, lines, is_whole = window.state.sentence._lines(window.state.sentence.width())
    assert is_whole, lines
    window.toasts.clear()
