"""Small views: state bar, verdicts, cameras, palette, toasts, theme."""

import dataclasses
import math
import re
import time
from typing import Any

import numpy as np
import pytest

from app import theme
from app.facts import Facts
from app.qt import Qt, QtCore, QtGui, QtWidgets
from app.views.camera_grid import CameraGrid, pack
from app.views.cameras import CameraModel, CameraView
from app.views.drive import rows_done_of
from app.views.episode_bar import EpisodeBar
from app.views.fan_curves import FanStyle
from app.views.palette import score
from app.views.state_bar import CANNOT_STEER, SOFTWARE_HOLD, StateBar, sentence_of, state_word
from app.views.task_box import shortened
from app.views.toasts import split_sentence
from app.views.verdicts import COLUMNS, VerdictList, warnings_of
from frs_core.episodes.worked import size_of
from frs_core.events import Driver, HoldReason, Pacing, Phase
from frs_core.steering.candidates import Fan
from frs_core.steering.directions import Amount, Gripper
from frs_core.worlds.libero.tasks import tasks
from tests.fakes.policy import ToyPolicy
from tests.fakes.snapshots import resting, sample_fan, sample_observation, snapshot
from tests.fakes.world import PointWorld
from tests.waiting import LONG_MS


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (resting(), "HOLD"),
        (snapshot(), "CHOOSE"),
        (snapshot(phase=Phase.MOVING), "MOVING"),
        (snapshot(phase=Phase.MOVING, driver=Driver.LEARNED), "LEARNED DRIVES"),
        (snapshot(phase=Phase.REPLAY), "REPLAY"),
        (snapshot(phase=Phase.FAULT), "FAULT"),
    ],
)
def test_each_state_has_its_word_and_can_be_painted(qtbot: Any, state: Any, word: str) -> None:
    bar = StateBar()
    qtbot.addWidget(bar)
    bar.show_snapshot(state)
    assert state_word(state) == bar.badge.word == word
    assert not bar.badge.grab().toImage().isNull()


@pytest.mark.parametrize("reason", HoldReason, ids=lambda r: r.name)
def test_every_hold_says_why_and_what_it_is(qtbot: Any, reason: HoldReason) -> None:
    bar = StateBar()
    qtbot.addWidget(bar)
    state = snapshot(phase=Phase.HOLD, hold_reason=reason, detail="Camera 'left' is 2 s old")
    bar.show_snapshot(state)
    assert bar.sentence.text == f"{reason.value}. Camera 'left' is 2 s old"
    is_resting = reason in (HoldReason.START, HoldReason.EPISODE_END)
    assert bar.sentence.hint == ("" if is_resting else SOFTWARE_HOLD)
    assert "not an emergency stop" in SOFTWARE_HOLD


def test_the_moving_sentence_names_who_picked_whoever_drives() -> None:
    moving = snapshot(phase=Phase.MOVING, picked="left/more", picked_by=Driver.PERSON)
    assert sentence_of(moving) == "You picked left, more"
    learned = dataclasses.replace(moving, driver=Driver.LEARNED, picked="learned", picked_by=Driver.LEARNED)
    assert sentence_of(learned) == "The noise policy picked learned"
    assert sentence_of(dataclasses.replace(moving, driver=Driver.LEARNED)) == "You picked left, more"
    alone = dataclasses.replace(moving, pacing=Pacing.CONTINUOUS, picked="unsteered", picked_by=None)
    assert sentence_of(alone) == "Nobody picked: the policy's own candidate"


def test_a_seen_success_is_offered_never_taken() -> None:
    episode = dataclasses.replace(snapshot().episode, success_seen=True)
    assert "Press Success" in sentence_of(snapshot(episode=episode))


def test_verdict_model_obeys_qt(qtbot: Any, qtmodeltester: Any) -> None:
    view = VerdictList(lambda c: "K")
    qtbot.addWidget(view)
    qtmodeltester.check(view.rows_model)
    view.rows_model.show_fan(sample_fan(), FanStyle())
    view.rows_model.show_fan(sample_fan(), FanStyle(amount=Amount.LESS))
    view.rows_model.show_fan(None, FanStyle())


def test_verdicts_list_the_present_step_first_and_say_everything(qtbot: Any) -> None:
    view = VerdictList(lambda c: "K")
    qtbot.addWidget(view)
    model = view.rows_model
    model.show_fan(sample_fan(), FanStyle(amount=Amount.LESS))
    assert model.rows[0].label == "unsteered"
    directed = [c for c in model.rows if c.command is not None and c.command.direction is not None]
    assert [c.command.amount for c in directed[:6]] == [Amount.LESS] * 6  # type: ignore[union-attr]
    row = model.rows.index(directed[0])
    verdict = directed[0].verdict
    assert model.data(model.index(row, COLUMNS.index("moves"))) == f"{verdict.motion_mm:.0f} mm"
    assert "from your request" in model.data(model.index(row, 0), Qt.ItemDataRole.ToolTipRole)


def test_names_are_whole_where_values_are_shown_and_the_least_needed_column_makes_room(qtbot: Any) -> None:
    table, fan = VerdictList(lambda c: "K"), sample_fan()
    qtbot.addWidget(table)
    table.show()
    valued = dataclasses.replace(fan, candidates=tuple(dataclasses.replace(c, value=0.5) for c in fan.candidates))
    value, bent, last = (COLUMNS.index(name) for name in ("value", "bent", "⚠"))
    for width, has_room in ((450, False), (620, True)):
        table.resize(width, 300)
        table.show_fan(valued, FanStyle())
        assert (table.isColumnHidden(value), table.isColumnHidden(bent)) == (False, not has_room)
        assert table.columnWidth(0) >= table.sizeHintForColumn(0)
        assert table.columnViewportPosition(last) < table.viewport().width()
    table.resize(450, 300)
    table.show_fan(fan, FanStyle())
    assert (table.isColumnHidden(value), table.isColumnHidden(bent)) == (True, False)


def test_longer_names_take_their_room_from_the_least_needed_column(qtbot: Any) -> None:
    table, fan = VerdictList(lambda c: "⇧PgUp"), sample_fan()
    qtbot.addWidget(table)
    table.show()
    closing = [
        dataclasses.replace(
            c, label=f"{c.label}/close", command=c.command and dataclasses.replace(c.command, gripper=Gripper.CLOSE)
        )
        for c in fan.candidates
    ]
    table.resize(450, 300)
    table.show_fan(dataclasses.replace(fan, candidates=tuple(closing)), FanStyle())
    assert table.columnWidth(0) >= table.sizeHintForColumn(0)
    assert table.columnWidth(1) >= table.sizeHintForColumn(1)
    last = COLUMNS.index("⚠")
    assert table.columnViewportPosition(last) + table.columnWidth(last) <= table.viewport().width()


def test_values_of_candidates_stand_beside_them_where_a_policy_has_them(qtbot: Any) -> None:
    view, column, fan = VerdictList(lambda c: "K"), COLUMNS.index("value"), sample_fan()
    qtbot.addWidget(view)
    view.show_fan(fan, FanStyle())
    assert view.isColumnHidden(column)
    first = dataclasses.replace(fan.candidates[0], value=0.734)
    view.show_fan(dataclasses.replace(fan, candidates=(first, *fan.candidates[1:])), FanStyle())
    assert not view.isColumnHidden(column)
    model = view.rows_model
    assert [model.data(model.index(row, column)) for row in range(2)] == ["73 %", ""]
    assert "value 73 %" in model.data(model.index(0, 0), Qt.ItemDataRole.ToolTipRole)


def test_flags_become_words_once() -> None:
    candidate = sample_fan().candidates[1]
    verdict = dataclasses.replace(candidate.verdict, hits_table=True, warnings=("Hits the table in row 3",))
    assert warnings_of(dataclasses.replace(candidate, verdict=verdict)) == ("Hits the table in row 3",)


def weakened(fan: Fan, authority: float, *, warnings: tuple[str, ...] = ()) -> Fan:
    """Return a fan whose directed candidates have this authority."""
    candidates = [
        dataclasses.replace(c, verdict=dataclasses.replace(c.verdict, authority=authority, warnings=warnings))
        if c.command is not None
        else c
        for c in fan.candidates
    ]
    return dataclasses.replace(fan, candidates=tuple(candidates))


def test_where_no_direction_has_authority_the_advice_is_to_demonstrate() -> None:
    assert sentence_of(snapshot(fan=weakened(sample_fan(), 0.02))) == CANNOT_STEER
    assert sentence_of(snapshot(fan=weakened(sample_fan(), 0.5))) == "Pick a direction"


def test_a_smaller_step_that_goes_as_far_is_shown_as_what_it_is(qtbot: Any) -> None:
    view, fan = VerdictList(lambda c: "K"), sample_fan()
    qtbot.addWidget(view)
    far = fan["left/more"].verdict.motion_mm

    def shown(motion_mm: float) -> str:
        less = dataclasses.replace(
            fan["left/less"], verdict=dataclasses.replace(fan["left/less"].verdict, motion_mm=motion_mm)
        )
        rest = tuple(less if c.label == less.label else c for c in fan.candidates)
        view.show_fan(dataclasses.replace(fan, candidates=rest), FanStyle())
        model = view.rows_model
        row = [c.label for c in model.rows].index("left/less")
        return model.data(model.index(row, 0), Qt.ItemDataRole.DisplayRole)

    assert shown(0.97 * far) == "left, less = more"
    assert shown(0.5 * far) == "left, less"


def test_a_noise_is_judged_by_those_that_worked(qtbot: Any) -> None:
    view, fan, column = VerdictList(lambda c: "K"), sample_fan(), COLUMNS.index("noise")
    qtbot.addWidget(view)
    view.show_fan(fan, FanStyle())
    model = view.rows_model
    row = [c.label for c in model.rows].index("left/more")
    size = size_of(fan["left/more"].noise)
    assert model.data(model.index(row, column), Qt.ItemDataRole.DisplayRole) == f"{size:.1f}"
    assert math.isnan(model.data(model.index(row, column), Qt.ItemDataRole.UserRole))
    view.use_record(np.sort(np.concatenate([np.full(15, size - 0.1), np.full(5, size + 0.1)])))
    assert model.data(model.index(row, column), Qt.ItemDataRole.UserRole) == 0.75
    assert not model.data(model.index(row, column), Qt.ItemDataRole.DisplayRole)
    assert "75 % of 20 steered chunks that succeeded" in model.data(model.index(row, 0), Qt.ItemDataRole.ToolTipRole)


def models(**changes: Any) -> list[CameraModel]:
    """Return all cameras."""
    return [
        CameraModel(n, f, 0.01, sample_fan(), FanStyle(), **changes) for n, f in sample_observation().frames.items()
    ]


def test_a_click_swaps_and_a_double_click_enlarges(qtbot: Any) -> None:
    grid = CameraGrid(lambda c: "K")
    qtbot.addWidget(grid)
    grid.resize(800, 600)
    grid.show_models(models())
    grid.show()
    assert grid.primary == "left"
    qtbot.mouseClick(grid.views["wrist"], Qt.MouseButton.LeftButton)
    assert grid.primary == "wrist"
    qtbot.mouseDClick(grid.views["right"], Qt.MouseButton.LeftButton)
    assert grid.is_alone
    assert grid.views["right"].geometry() == grid.rect()
    qtbot.mouseDClick(grid.views["right"], Qt.MouseButton.LeftButton)
    assert not grid.is_alone
    grid.next_camera()
    assert grid.primary == "wrist"


def test_what_is_kept_between_two_pictures_looks_like_what_is_painted_anew(qtbot: Any) -> None:
    styles = (FanStyle(), FanStyle(picked="left/more"), FanStyle(amount=Amount.LESS), FanStyle(is_stale=True))
    for model in models():
        kept = CameraView(model.name, lambda c: "K")
        qtbot.addWidget(kept)
        kept.resize(420, 330)
        for i, style in enumerate(styles):
            shown = dataclasses.replace(model, style=style, age_s=0.1 * i, rows_done=0.7 * i)
            kept.show_model(shown)
            fresh = CameraView(model.name, lambda c: "K")
            qtbot.addWidget(fresh)
            fresh.resize(420, 330)
            fresh.show_model(shown)
            assert kept.grab().toImage() == fresh.grab().toImage()


def test_time_alone_repaints_a_few_pixels_of_a_camera(qtbot: Any) -> None:
    grid = CameraGrid(lambda c: "K")
    qtbot.addWidget(grid)
    grid.resize(900, 700)
    grid.show_models([dataclasses.replace(m, style=FanStyle(picked="left/more"), rows_done=0.0) for m in models()])
    grid.show()
    view = grid.views["left"]
    painted: list[QtGui.QRegion] = []

    class Watch(QtCore.QObject):
        def eventFilter(self, watched: object, event: Any) -> bool:
            if event.type() == QtCore.QEvent.Type.Paint:
                painted.append(event.region())
            return False

    qtbot.waitUntil(lambda: view._still is not None, timeout=LONG_MS)
    watch = Watch()
    view.installEventFilter(watch)
    grid.show_time(time.monotonic_ns(), 1.5)
    qtbot.waitUntil(lambda: bool(painted), timeout=LONG_MS)
    points = [QtCore.QPoint(x, y) for x in range(0, view.width(), 4) for y in range(0, view.height(), 4)]
    touched = [p for p in points if any(region.contains(p) for region in painted)]
    assert 0 < len(touched) < 0.05 * len(points)


def test_hovering_a_tip_names_the_candidate(qtbot: Any) -> None:
    grid = CameraGrid(lambda c: "K")
    qtbot.addWidget(grid)
    grid.resize(900, 700)
    grid.show_models(models())
    grid.show()
    view = grid.views["left"]
    scale, offset = view.placement()
    curve = next(c for c in view.curves if c.candidate.label == "left/more")
    tip = (curve.uv[curve.executed - 1] + 0.5) * scale + np.array(offset)
    with qtbot.waitSignal(grid.candidate_hovered, timeout=LONG_MS) as seen:
        qtbot.mouseMove(view, QtCore.QPoint(*map(round, tip)))
    assert seen.args == ["left/more"]


def test_a_camera_without_calibration_shows_no_fan(qtbot: Any) -> None:
    grid = CameraGrid(lambda c: "K")
    qtbot.addWidget(grid)
    bare = [dataclasses.replace(m, frame=dataclasses.replace(m.frame, calibration=None)) for m in models()]  # type: ignore[type-var]
    grid.show_models(bare)
    assert all(v.curves == [] for v in grid.views.values())
    assert not grid.grab().toImage().isNull()


@pytest.mark.parametrize("size", [(800, 600), (1300, 880), (500, 900)])
@pytest.mark.parametrize("aspect", [1.0, 4 / 3, 16 / 9])
@pytest.mark.parametrize("others", [1, 2, 3])
def test_packed_cameras_stay_inside_and_apart(size: tuple[int, int], aspect: float, others: int) -> None:
    boxes = pack(*size, aspect, [aspect] * others, gap=6)
    rects = [QtCore.QRect(*b) for b in boxes]
    area = QtCore.QRect(0, 0, *size)
    assert all(area.contains(r) for r in rects)
    assert not any(a.intersects(b) for i, a in enumerate(rects) for b in rects[:i])
    assert rects[0].width() * rects[0].height() >= max(r.width() * r.height() for r in rects)


@pytest.mark.parametrize(
    ("text", "head"), [("A. B. C.", "A."), ("Took 3.5 s. Wait", "Took 3.5 s."), ("no end", "no end")]
)
def test_the_first_sentence_is_split_off(text: str, head: str) -> None:
    assert split_sentence(text)[0] == head


def test_the_palette_prefers_whole_words() -> None:
    assert score("hold", "Hold Drive") < score("hold", "Threshold Drive")  # type: ignore[operator]
    assert score("trd", "Train DSBC") is not None
    assert score("xyz", "Train DSBC") is None


@pytest.mark.parametrize("tokens", theme.THEMES.values(), ids=lambda t: t.name)
def test_text_and_badges_have_contrast(tokens: theme.Theme) -> None:
    for ground in (tokens.window, tokens.panel, tokens.raised):
        assert theme.contrast(tokens.text, ground) >= 7
        assert theme.contrast(tokens.dim, ground) >= 4.5
    for ground in tokens.state.values():
        assert theme.contrast(theme.ink_on(ground), ground) >= 4.5
    for tone in (tokens.good, tokens.warn, tokens.bad):
        assert theme.contrast(tone, tokens.panel) >= 4.5
    # What a progress bar says is read on its filled part too.
    filled = re.search(r"QProgressBar::chunk {[^}]*background: (#\w+)", theme._stylesheet(tokens))
    assert filled is not None
    assert theme.contrast(tokens.text, filled[1]) >= 4.5


@pytest.mark.parametrize("tokens", theme.THEMES.values(), ids=lambda t: t.name)
def test_a_checked_box_has_a_tick_and_dialogs_have_no_icons_of_another_theme(qtbot, qapp, tokens: theme.Theme) -> None:
    theme.apply(qapp, tokens)
    box, dialog = QtWidgets.QCheckBox("Unrecorded"), QtWidgets.QDialogButtonBox()
    close = dialog.addButton(QtWidgets.QDialogButtonBox.StandardButton.Close)
    listed = QtWidgets.QListWidget()
    for widget in (box, dialog, listed):
        qtbot.addWidget(widget)
        widget.ensurePolished()
    assert close is not None
    assert close.icon().isNull()
    box.setChecked(True)
    box.resize(200, 40)
    image, middle = box.grab().toImage(), box.height() // 2
    # The fill, two pixels inside the border, and the lightest or darkest pixel of the tick on it.
    inside = {image.pixelColor(x, y).name() for x in range(3, 16) for y in range(middle - 6, middle + 6)}
    assert tokens.accent in inside
    assert max(theme.contrast(colour, tokens.accent) for colour in inside) >= 4.5
    # Boxes in lists are drawn like others.
    item = QtWidgets.QListWidgetItem("Base policy", listed)
    item.setCheckState(QtCore.Qt.CheckState.Checked)
    listed.resize(200, 60)
    row, image = listed.visualItemRect(item), listed.grab().toImage()
    rows = range(row.top(), row.bottom())
    assert tokens.accent in {image.pixelColor(x, y).name() for x in range(2, 18) for y in rows}


def test_hold_has_one_colour_in_both_themes() -> None:
    assert theme.DARK.state["hold"] == theme.LIGHT.state["hold"]


def test_overlay_cores_read_on_their_halo_and_differ_for_the_colour_blind() -> None:
    cores = [*theme.DIRECTION_CORE.values(), theme.UNSTEERED_CORE, theme.LEARNED_CORE, theme.CORE_GREY]
    assert all(theme.contrast(core, theme.HALO) >= 6 for core in cores)


def test_the_mark_follows_the_rows_and_never_runs_ahead_of_the_one_under_way() -> None:
    observation = sample_observation()
    moving = snapshot(phase=Phase.MOVING, observation=observation, chunk_row=3, chunk_rows=8)
    moving = dataclasses.replace(moving, latency=dataclasses.replace(moving.latency, loop_hz=10.0))
    reported = observation.captured_ns
    assert rows_done_of(moving, reported) == 3.0
    assert rows_done_of(moving, reported + 50_000_000) == pytest.approx(3.5)
    assert rows_done_of(moving, reported + 900_000_000) == 4.0
    assert rows_done_of(dataclasses.replace(moving, chunk_row=0), reported + 900_000_000) == 0.0
    assert rows_done_of(dataclasses.replace(moving, chunk_row=8), reported + 900_000_000) == 8.0
    assert math.isnan(rows_done_of(snapshot(), reported))


@pytest.mark.parametrize("is_simulated", [True, False])
def test_task_and_scene_are_asked_for_only_where_there_are_some(is_simulated: bool, qtbot: Any) -> None:
    bar = EpisodeBar(lambda _action: None)
    qtbot.addWidget(bar)
    bar.set_tasks(["mug_on_plate"] if is_simulated else [])
    bar.show_snapshot(snapshot(), is_simulated=is_simulated)
    assert bar.seed.isVisibleTo(bar) is is_simulated
    assert bar.task.isVisibleTo(bar) is is_simulated
    assert bar.instruction.isVisibleTo(bar)


def test_the_list_says_which_tasks_the_policy_was_not_trained_on(qtbot: Any) -> None:
    world = dataclasses.replace(PointWorld().spec, tasks=("mug_on_plate", "can_on_plate"), titles=())
    policy = dataclasses.replace(ToyPolicy().spec, shown={world.name: ("mug_on_plate",)})
    facts = Facts(world.name, "toy")
    bar = EpisodeBar(lambda _action: None)
    qtbot.addWidget(bar)
    facts.learn(world, policy)
    bar.set_tasks(facts.tasks, new=facts.new_tasks, chosen="can_on_plate")
    assert [bar.task.itemText(i) for i in range(bar.task.count())] == ["mug on plate", "can on plate  · new"]
    assert bar.chosen_task == "can_on_plate"

    facts = Facts("elsewhere", "toy")
    facts.learn(dataclasses.replace(world, name="elsewhere"), policy)
    assert not facts.new_tasks, "nothing is stated about another world's tasks"


def test_a_title_of_any_length_is_shown_for_a_task_and_does_not_widen_the_bar(qtbot: Any) -> None:
    bar = EpisodeBar(lambda _action: None)
    qtbot.addWidget(bar)
    bar.set_tasks(["suite/0", "suite/1"], titles=["0  open", "1  " + 12 * "open the top drawer "], chosen="suite/1")
    assert bar.chosen_task == "suite/1"
    assert bar.task.currentText().startswith("1  open the top")
    assert bar.task.sizeHint().width() < 300


def libero_titles() -> dict[str, str]:
    """Return the titles of the public benchmark: sentences, many of which begin alike."""
    return {t.name: f"{t.suite.removeprefix('libero_')}/{t.number}  {t.words}" for t in tasks().values()}


@pytest.mark.parametrize(("width", "is_whole"), [(1280, True), (1024, False)])
def test_the_closed_list_tells_one_sentence_from_another(width: int, is_whole: bool, qtbot: Any) -> None:
    titles = libero_titles()
    bar = EpisodeBar(lambda _action: None)
    qtbot.addWidget(bar)
    bar.set_tasks(list(titles), titles=list(titles.values()), new={"libero_spatial/3"})
    bar.show_snapshot(snapshot(), is_simulated=True)
    bar.resize(width - 12, bar.sizeHint().height())
    bar.show()
    shown = []
    for i, title in enumerate(titles.values()):
        bar.task.setCurrentIndex(i)
        lines, is_uncut = bar.task.lines
        assert is_uncut or not is_whole, title
        shown.append(" ".join(lines))
        assert not bar.task.grab().toImage().isNull()
    assert len(set(shown)) == len(titles)
    assert "bowl" not in shown[0] or is_whole
    bar.hide()


def test_what_all_of_a_group_say_is_left_out_first() -> None:
    short = shortened(
        ["a/0  pick up the cup and go", "a/1  pick up the red can and go", "b/0  open the door", "b/1  push"]
    )
    assert short == ("a/0 … cup …", "a/1 … red can …", "b/0 open the door", "b/1 push")
    assert shortened(["alone in the list"]) == ("alone in the list",)
    assert shortened(["the same", "the same"]) == ("the same", "the same")


@pytest.mark.parametrize(
    ("typed", "task"),
    [
        ("b/1", "suite_b/1"),
        ("suite_a/1", "suite_a/1"),
        ("red can", "suite_a/1"),
        ("Door", "suite_b/0"),
        ("nowhere", "suite_a/0"),
        ("aa", "suite_a/1"),
    ],
)
def test_typing_in_the_open_list_of_tasks_finds_any_words_of_them(qtbot: Any, typed: str, task: str) -> None:
    bar = EpisodeBar(lambda action: None)
    qtbot.addWidget(bar)
    names = ["suite_a/0", "suite_a/1", "suite_b/0", "suite_b/1"]
    titles = ["a/0  pick up the cup", "a/1  pick up the red can", "b/0  open the door", "b/1  push"]
    bar.set_tasks(names, titles=titles, new={"suite_b/0"}, chosen="suite_a/0")
    bar.show()
    bar.choose_task()
    view = bar.task.view()
    qtbot.keyClicks(view, typed)
    qtbot.keyClick(view, Qt.Key.Key_Return)
    assert bar.chosen_task == task
