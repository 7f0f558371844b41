"""Sizes S, M and L: larger as far as the window has room, remembered, and nothing is cut off."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import app
from app import theme
from app.boxes import Column, Grid, Row
from app.display_size import LEAST, LEAST_SCREEN, SCALES, TITLE_BAR, fitting_scale, is_tight
from app.qt import QtCore, QtGui, QtWidgets
from app.settings import SettingsFile
from app.views.verdicts import BarDelegate
from tests.waiting import LONG_MS


@pytest.mark.parametrize(
    ("size", "window", "scale"),
    [
        ("s", (3840, 2160), 1.0),
        ("m", (1920, 1080), 1.4),
        ("l", (1920, 1080), 1.5),
        ("l", (3840, 2160), 2.5),
        ("l", (1024, 700), 1.0),
        ("l", (960, 640), 1.0),
    ],
)
def test_a_size_is_bounded_by_the_window(size: str, window: tuple[int, int], scale: float) -> None:
    assert fitting_scale(size, *window) == pytest.approx(scale)


def test_keys_choose_the_size_and_the_settings_keep_it(window: Any, qtbot: Any, tmp_path: Any) -> None:
    window.resize(1920, 1080)
    before = window.state.badge.width(), window.drive.episode.hold.minimumWidth(), window.drive.verdicts.columnWidth(1)
    window.run("view.larger")
    assert theme.scale() == pytest.approx(1.4)
    after = window.state.badge.width(), window.drive.episode.hold.minimumWidth(), window.drive.verdicts.columnWidth(1)
    assert [a / b for a, b in zip(after, before, strict=True)] == pytest.approx([1.4] * 3, rel=0.02)
    for _ in range(3):
        window.run("view.larger")
    assert "L, 1.5 times" in window.toasts.texts[-1]
    window.settings.save()
    assert json.loads(window.settings.path.read_text())["display_size"] == "l"
    assert SettingsFile(window.settings.folder).values.display_size == "l"
    window.resize(1024, 700)
    qtbot.waitUntil(lambda: theme.scale() == 1.0, timeout=LONG_MS)
    for _ in range(3):
        window.run("view.smaller")
    assert window.settings.values.display_size == "s"


def test_another_theme_keeps_the_size(window: Any) -> None:
    window.resize(1920, 1080)
    window.run("view.larger")
    window.toggle_theme()
    assert theme.scale() == pytest.approx(1.4)
    assert "font-size: 18px" in QtWidgets.QApplication.instance().styleSheet()


def test_a_closed_widget_is_not_sized_any_more(qtbot: Any, qapp: Any) -> None:
    label = QtWidgets.QLabel("x")
    theme.on_scale(label, lambda w: w.setFixedWidth(theme.px(100)))
    assert label.width() == 100
    theme.apply(qapp, theme.DARK, scale=2.0)
    assert label.width() == 200
    label.deleteLater()
    qapp.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete)
    theme.apply(qapp, theme.DARK, scale=1.0)


@pytest.mark.parametrize("name", ["dark", "light"])
@pytest.mark.parametrize("size", [(1024, 700), (1280, 800), (1920, 1080), (3840, 2160)])
def test_nothing_is_clipped_or_overlaps_at_any_size(window: Any, size: tuple[int, int], name: str, qtbot: Any) -> None:
    window.use_theme(name)
    window.resize(*size)
    for _ in SCALES:
        for layout in ("drive", "review", "train", "practise"):
            window.show_layout(layout)
            QtWidgets.QApplication.processEvents()
            assert (window.width(), window.height()) == size
            shown = [b for b in window.findChildren(QtWidgets.QAbstractButton) if b.isVisible() and b.text()]
            assert len(shown) > 5
            boxes = []
            for button in shown:
                box = QtCore.QRect(button.mapTo(window, QtCore.QPoint(0, 0)), button.size())
                assert window.rect().contains(box), (layout, theme.scale(), button.text(), box)
                least = min(button.minimumSizeHint().width(), button.maximumWidth())
                assert button.width() >= least, (layout, theme.scale(), button.text())
                others = [other for other, its in boxes if its.intersects(box)]
                assert not others, (layout, theme.scale(), button.text(), others)
                boxes.append((button.text(), box))
            for field in window.findChildren(QtWidgets.QLineEdit):
                room = field.width() - theme.px(14)
                if field.isVisible() and field.placeholderText() and not field.text():
                    assert field.fontMetrics().horizontalAdvance(field.placeholderText()) <= room, (
                        field.placeholderText()
                    )
        window.run("view.larger")
    assert theme.scale() == pytest.approx(fitting_scale("l", *size))


@pytest.mark.parametrize(
    ("screen", "fills"),
    [
        ((1024, 700), True),
        ((1280, 800), True),
        ((1366, 768), True),
        ((1280, 900), False),
        ((1920, 1080), False),
        ((800, 600), False),
    ],
)
def test_a_window_with_its_title_bar_fills_a_screen_that_has_no_room_for_it(
    screen: tuple[int, int], fills: bool
) -> None:
    assert is_tight(QtCore.QSize(1280, 800), QtCore.QSize(*screen)) is fills


def test_the_window_has_room_for_everything_at_its_least_size(window: Any) -> None:
    assert window.minimumHeight() + TITLE_BAR <= LEAST_SCREEN[1]
    window.report("The world did not start. Check its options")
    window.resize(window.minimumSize())
    for layout in ("drive", "review", "train", "practise"):
        window.show_layout(layout)
        QtWidgets.QApplication.processEvents()
        least = window.centralWidget().minimumSizeHint()
        assert least.width() <= window.minimumWidth() <= LEAST[0], layout
        assert least.height() + window.menuBar().sizeHint().height() <= window.minimumHeight() <= LEAST[1], layout


def test_what_is_painted_grows_with_the_display_size(window: Any, qapp: Any) -> None:
    """Rows of episodes, time line, keyboard map and axes are painted, not laid out: their sizes are no fonts of the style sheet."""

    def sizes() -> list[float]:
        pane, option = window.review.episodes, QtWidgets.QStyleOptionViewItem()
        row = pane.list.itemDelegate().sizeHint(option, QtCore.QModelIndex())
        axis = window.train.curve.getAxis("left")
        keys = window.cards.help.keyboard
        return [row.height(), window.review.scrubber.height(), keys.minimumHeight(), axis.style["tickFont"].pixelSize()]

    window.use_theme("dark")
    before = sizes()
    window.use_theme("dark", scale=2.0)
    assert [b / a for a, b in zip(before, sizes(), strict=True)] == pytest.approx([2.0] * 4, rel=0.02)


def test_every_gap_grows_with_the_display_size(window: Any) -> None:
    def gaps() -> list[int]:
        between = [
            gap
            for layout in layouts
            for gap in (
                (layout.horizontalSpacing(), layout.verticalSpacing())
                if isinstance(layout, Grid)
                else (layout.spacing(),)
            )
        ]
        return between + [gap for layout in layouts for gap in layout.getContentsMargins()]

    window.use_theme("dark")
    for name in ("review", "train", "practise", "drive"):
        window.show_layout(name)
    layouts = [one for one in window.findChildren(QtWidgets.QLayout) if isinstance(one, (Row, Column, Grid))]
    assert len(layouts) > 60
    before = gaps()
    window.use_theme("dark", scale=2.0)
    assert gaps() == [2 * gap for gap in before]


def test_views_lay_out_by_what_grows() -> None:
    """A layout of Qt keeps its gaps in pixels."""
    fixed = re.compile(r"Q(HBox|VBox|Grid|Form)Layout\(|setContentsMargins\([^)]*[1-9]")
    of_plots = {"boxes.py", "plot.py", "plots.py"}
    sources = [path for path in Path(app.__file__).parent.rglob("*.py") if path.name not in of_plots]
    assert [path.name for path in sources if fixed.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    ("make", "option", "control", "part"),
    [
        pytest.param(QtWidgets.QComboBox, QtWidgets.QStyleOptionComboBox, "CC_ComboBox", "SC_ComboBoxArrow", id="list"),
        pytest.param(QtWidgets.QSpinBox, QtWidgets.QStyleOptionSpinBox, "CC_SpinBox", "SC_SpinBoxUp", id="number"),
        pytest.param(QtWidgets.QDoubleSpinBox, QtWidgets.QStyleOptionSpinBox, "CC_SpinBox", "SC_SpinBoxUp", id="limit"),
        pytest.param(
            lambda: QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal),
            QtWidgets.QStyleOptionSlider,
            "CC_Slider",
            "SC_SliderHandle",
            id="slider",
        ),
    ],
)
def test_what_is_taken_by_the_mouse_grows_with_the_display_size(
    make: Any, option: Any, control: str, part: str, qtbot: Any, qapp: Any
) -> None:
    def size() -> tuple[int, int]:
        widget = make()
        qtbot.addWidget(widget)
        widget.ensurePolished()
        widget.resize(widget.sizeHint())
        asked = option()
        widget.initStyleOption(asked)
        style = QtWidgets.QStyle
        kind, what = getattr(style.ComplexControl, control), getattr(style.SubControl, part)
        box = widget.style().subControlRect(kind, asked, what, widget)
        return box.width(), min(box.height(), widget.height())

    theme.apply(qapp, theme.DARK, scale=1.0)
    before = size()
    theme.apply(qapp, theme.DARK, scale=2.0)
    assert [a / b for a, b in zip(size(), before, strict=True)] == pytest.approx([2.0, 2.0], rel=0.15)
    theme.apply(qapp, theme.DARK, scale=1.0)


def test_bars_of_verdicts_grow_with_the_display_size(qtbot: Any, qapp: Any) -> None:
    def height() -> int:
        model = QtGui.QStandardItemModel(1, 1)
        model.setData(model.index(0, 0), 1.0, QtCore.Qt.ItemDataRole.UserRole)
        option = QtWidgets.QStyleOptionViewItem()
        option.rect = QtCore.QRect(0, 0, 100, 60)
        image = QtGui.QImage(100, 60, QtGui.QImage.Format.Format_RGB32)
        image.fill(theme.colour(theme.DARK.panel))
        painter = QtGui.QPainter(image)
        BarDelegate(model).paint(painter, option, model.index(0, 0))
        painter.end()
        return sum(image.pixelColor(50, y) == theme.colour(theme.DARK.accent) for y in range(60))

    theme.apply(qapp, theme.DARK, scale=1.0)
    before = height()
    theme.apply(qapp, theme.DARK, scale=2.0)
    assert height() == 2 * before
    theme.apply(qapp, theme.DARK, scale=1.0)
