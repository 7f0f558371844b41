"""Sizes S, M and L: larger as far as the window has room, remembered, and nothing is cut off."""

import json
from typing import Any

import pytest

from app import theme
from app.display_size import LEAST, SCALES, fitting_scale, is_tight
from app.qt import QtCore, QtWidgets
from app.settings import SettingsFile
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
        window.run("view.larger")
    assert theme.scale() == pytest.approx(fitting_scale("l", *size))


@pytest.mark.parametrize(
    ("screen", "fills"),
    [((1280, 800), True), ((1366, 768), True), ((1280, 900), False), ((1920, 1080), False), ((800, 600), False)],
)
def test_a_window_with_its_title_bar_fills_a_screen_that_has_no_room_for_it(
    screen: tuple[int, int], fills: bool
) -> None:
    assert is_tight(QtCore.QSize(1280, 800), QtCore.QSize(*screen)) is fills


def test_the_window_has_room_for_everything_at_its_least_size(window: Any) -> None:
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
