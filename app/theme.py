"""Colours and sizes of the cockpit, dark and light, and the only stylesheet.

Problem: an operator reads the screen from two metres, perhaps colour-blind, in a dark lab or by a window. Idea: a small set
of named tokens; views use tokens, never hex values; everything shown by a colour is also shown by a shape or a
word. `apply(app, DARK)` sets the palette, the stylesheet and pyqtgraph's colours. Runs on the GUI thread.

Sizes are written for a screen at half a metre and go through `px`, so that one scale makes everything larger for a screen at two metres.
A widget with a size of its own sets it in `on_scale`, at once and whenever the scale changes.

Example: `theme.current().state["hold"]` is the background of the HOLD badge; its text colour is chosen by contrast.
"""

import re
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from app.qt import QtCore, QtGui, QtWidgets, sip
from frs_core import paths
from frs_core.steering.directions import Direction


@dataclass(frozen=True, slots=True)
class Theme:
    """Named colours as #rrggbb."""

    name: str
    window: str
    panel: str
    raised: str
    line: str
    text: str
    dim: str
    accent: str
    good: str
    warn: str
    bad: str
    state: Mapping[str, str]
    """Background of the state badge by state word (lower case)."""

    @property
    def is_dark(self) -> bool:
        """Whether text is lighter than the window."""
        return luminance(self.window) < luminance(self.text)


DARK = Theme(
    name="dark",
    window="#14171c",
    panel="#1b1f26",
    raised="#272d37",
    line="#3a424f",
    text="#eceff4",
    dim="#a9b3c1",
    accent="#5cb3ff",
    good="#4cd39a",
    warn="#ffc04d",
    bad="#ff7a6b",
    state={
        "hold": "#e8b23a",
        "choose": "#5cb3ff",
        "moving": "#4cd39a",
        "learned drives": "#c79bff",
        "blinded": "#c79bff",
        "replay": "#8fa3bd",
        "fault": "#ff7a6b",
    },
)
LIGHT = Theme(
    name="light",
    window="#f3f4f6",
    panel="#ffffff",
    raised="#e4e8ee",
    line="#b8c0cc",
    text="#15181d",
    dim="#4d5765",
    accent="#0b63b8",
    good="#0b7a4b",
    warn="#8a5a00",
    bad="#b3261e",
    state={
        "hold": "#e8b23a",
        "choose": "#0b63b8",
        "moving": "#0b7a4b",
        "learned drives": "#6d3cb8",
        "blinded": "#6d3cb8",
        "replay": "#465468",
        "fault": "#b3261e",
    },
)
THEMES: Mapping[str, Theme] = {t.name: t for t in (DARK, LIGHT)}

HALO = "#0a0c10"
"""Dark edge under every overlay line, so that it is visible on light images."""
CORE_GREY = "#9aa0a8"
"""Overlay lines of a stale fan."""
CORE_TARGET = "#ff5fd2"
"""The mark of a target."""
UNSTEERED_CORE = "#ffffff"
LEARNED_CORE = "#f5c2ff"
DIRECTION_CORE: Mapping[Direction, str] = {
    Direction.FORWARD: "#8fd3ff",
    Direction.BACK: "#ffb454",
    Direction.LEFT: "#5fe0b0",
    Direction.RIGHT: "#ffe95c",
    Direction.UP: "#ffa3d1",
    Direction.DOWN: "#ff8a66",
}
"""Light cores based on the Okabe-Ito hues; arrows and key caps show the same without colour."""

PLOT_COLOURS = ("#5cb3ff", "#ffb454", "#4cd39a", "#ffe95c", "#ffa3d1", "#ff8a66", "#c79bff", "#a9b3c1")
PLOT_COLOURS_LIGHT = ("#0b63b8", "#b35c00", "#0b7a4b", "#7a6a00", "#a8326f", "#b3401e", "#6d3cb8", "#4d5765")

_SIZE = re.compile(r"(?<![\w#.])(-?\d+)px")
"""A size in the stylesheet; borders of 0 to 2 pixels grow as well."""
SPACE = 8
RADIUS = 6

Owner = TypeVar("Owner", bound=QtCore.QObject)
_current = DARK
_scale = 1.0
_scaled: "weakref.WeakKeyDictionary[QtCore.QObject, list[Callable[[Any], object]]]" = weakref.WeakKeyDictionary()


def current() -> Theme:
    """Return the theme in use."""
    return _current


def scale() -> float:
    """Return how much larger than written sizes are, at least 1."""
    return _scale


def px(size: float) -> int:
    """Return a size in logical pixels at the present scale."""
    return round(size * _scale)


def on_scale(owner: Owner, act: Callable[[Owner], object]) -> None:
    """Set sizes now, and again whenever the scale changes.

    Args:
        owner: what `act` gets, for as long as it lives; `act` must not hold on to it.
        act: sets sizes, by `px`.
    """
    _scaled.setdefault(owner, []).append(act)
    act(owner)


def plot_colours() -> tuple[str, ...]:
    """Return line colours for plots in the current theme."""
    return PLOT_COLOURS if _current.is_dark else PLOT_COLOURS_LIGHT


def luminance(colour: str) -> float:
    """Return the relative luminance of #rrggbb, 0..1. Source: WCAG 2.1, relative luminance."""
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    r, g, b = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a: str, b: str) -> float:
    """Return the contrast ratio of two colours, 1..21. Source: WCAG 2.1."""
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def blend(colour: str, over: str, share: float) -> str:
    """Return #rrggbb of a colour that covers another by a share 0..1."""
    pairs = ((int(colour[i : i + 2], 16), int(over[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in pairs)


_INKS = {"#0a0c10": "black", "#ffffff": "white"}
"""Ink -> its word in names of files."""


def ink_on(background: str) -> str:
    """Return black or white, whichever has more contrast on a background."""
    return max(_INKS, key=lambda c: contrast(c, background))


def colour(value: str, alpha: int = 255) -> QtGui.QColor:
    """Return a token as a QColor with an opacity 0..255."""
    result = QtGui.QColor(value)
    result.setAlpha(alpha)
    return result


def apply(app: QtWidgets.QApplication, theme: Theme, *, scale: float | None = None) -> None:
    """Use a theme for the whole application.

    Args:
        app: the application.
        theme: its colours.
        scale: how much larger than written everything is; None = as it is.
    """
    global _current, _scale
    is_same_scale = scale is None or scale == _scale
    _current, _scale = theme, scale or _scale
    app.setStyle("Fusion")
    app.setPalette(_palette(theme))
    app.setStyleSheet(_SIZE.sub(lambda found: f"{px(float(found[1]))}px", _stylesheet(theme)))
    if not is_same_scale:
        for owner, acts in list(_scaled.items()):
            if not sip.isdeleted(owner):
                for act in acts:
                    act(owner)
    import pyqtgraph

    pyqtgraph.setConfigOptions(background=theme.panel, foreground=theme.dim, antialias=True)


def _palette(theme: Theme) -> QtGui.QPalette:
    role = QtGui.QPalette.ColorRole
    palette = QtGui.QPalette()
    for which, value in (
        (role.Window, theme.window),
        (role.WindowText, theme.text),
        (role.Base, theme.panel),
        (role.AlternateBase, theme.raised),
        (role.Text, theme.text),
        (role.Button, theme.raised),
        (role.ButtonText, theme.text),
        (role.ToolTipBase, theme.raised),
        (role.ToolTipText, theme.text),
        (role.Highlight, theme.accent),
        (role.HighlightedText, ink_on(theme.accent)),
        (role.PlaceholderText, theme.dim),
        (role.Link, theme.accent),
    ):
        palette.setColor(which, QtGui.QColor(value))
    for which in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(QtGui.QPalette.ColorGroup.Disabled, which, QtGui.QColor(theme.dim))
    return palette


def _icon(name: str, ink: str) -> str:
    """Return the file of an icon in an ink of `ink_on`."""
    return (paths.assets() / "icons" / f"{name}-{_INKS[ink]}.svg").as_posix()


def _stylesheet(t: Theme) -> str:
    ink = ink_on(t.accent)
    tick, plain = _icon("tick", ink), ink_on(t.panel)
    up, down = _icon("up", plain), _icon("down", plain)
    return f"""
* {{ font-size: 13px; }}
QMainWindow, QDialog {{ background: {t.window}; }}
QToolTip {{ background: {t.raised}; color: {t.text}; border: 1px solid {t.line}; padding: 4px; }}
QFrame[role="panel"] {{ background: {t.panel}; border: 1px solid {t.line}; border-radius: {RADIUS}px; }}
QFrame[role="bar"] {{ background: {t.panel}; border: none; }}
QFrame[role="card"] {{ background: {t.panel}; border: 2px solid {t.accent}; border-radius: 10px; }}
QFrame[role="toast"] {{ background: {t.raised}; border: 1px solid {t.line}; border-left: 5px solid {t.accent}; border-radius: 4px; }}
QFrame[role="toast"][tone="bad"] {{ border-left-color: {t.bad}; }}
QFrame[role="toast"][tone="good"] {{ border-left-color: {t.good}; }}
QFrame[role="toast"][tone="warn"] {{ border-left-color: {t.warn}; }}
QFrame[role="banner"] {{ background: {t.bad}; border: none; }}
QFrame[role="banner"] QLabel {{ color: {ink_on(t.bad)}; background: transparent; }}
QFrame[role="banner"] QPushButton {{ background: {t.panel}; color: {t.text}; }}
QLabel {{ background: transparent; }}
QLabel[role="caption"] {{ color: {t.dim}; font-size: 11px; }}
QLabel[role="value"] {{ color: {t.text}; font-size: 16px; font-weight: 600; }}
QLabel[role="title"] {{ font-size: 17px; font-weight: 700; }}
QLabel[role="big"] {{ font-size: 22px; font-weight: 700; }}
QLabel[role="sentence"] {{ font-size: 15px; }}
QLabel[tone="good"] {{ color: {t.good}; }}
QLabel[tone="warn"] {{ color: {t.warn}; }}
QLabel[tone="bad"] {{ color: {t.bad}; }}
QLabel[role="recording"] {{ color: {t.bad}; font-size: 15px; font-weight: 700; }}
QPushButton, QToolButton {{ background: {t.raised}; color: {t.text}; border: 1px solid {t.line};
  border-radius: 5px; padding: 4px 10px; min-height: 20px; }}
QToolButton {{ padding: 4px 7px; }}
QPushButton:hover, QToolButton:hover {{ border-color: {t.accent}; }}
QPushButton:focus, QToolButton:focus {{ border: 2px solid {t.accent}; padding: 3px 9px; }}
QPushButton:pressed, QToolButton:pressed {{ background: {t.line}; }}
QPushButton:disabled, QToolButton:disabled {{ color: {t.dim}; background: {t.panel}; }}
QPushButton:checked, QToolButton:checked {{ background: {t.accent}; color: {ink}; border-color: {t.accent}; font-weight: 600; }}
QPushButton[role="primary"] {{ background: {t.accent}; color: {ink}; font-weight: 700; }}
QPushButton[role="primary"]:disabled {{ background: {t.panel}; color: {t.dim}; }}
QPushButton[role="good"] {{ border-color: {t.good}; }}
QPushButton[role="bad"] {{ border-color: {t.bad}; }}
QPushButton[role="hold"] {{ background: {t.state["hold"]}; color: {ink_on(t.state["hold"])}; font-weight: 800; }}
QLineEdit, QPlainTextEdit {{ background: {t.window}; color: {t.text}; border: 1px solid {t.line};
  border-radius: 4px; padding: 3px 6px; min-height: 20px; selection-background-color: {t.accent}; }}
QLineEdit:focus, QPlainTextEdit:focus {{ border: 2px solid {t.accent}; padding: 2px 5px; }}
QHeaderView::section {{ background: {t.panel}; color: {t.dim}; border: none; border-bottom: 1px solid {t.line};
  padding: 3px 6px; font-size: 11px; }}
QTableView, QListView, QTreeView {{ background: {t.panel}; alternate-background-color: {t.window}; border: 1px solid {t.line};
  border-radius: {RADIUS}px; gridline-color: {t.raised}; selection-background-color: {t.accent}; selection-color: {ink}; }}
QMenuBar {{ background: {t.window}; color: {t.text}; spacing: 2px; }}
QMenuBar::item {{ padding: 3px 6px; background: transparent; }}
QMenuBar::item:selected, QMenu::item:selected {{ background: {t.accent}; color: {ink}; }}
QMenu {{ background: {t.panel}; color: {t.text}; border: 1px solid {t.line}; }}
QScrollBar:vertical {{ background: {t.window}; width: 11px; }}
QScrollBar:horizontal {{ background: {t.window}; height: 11px; }}
QScrollBar::handle {{ background: {t.line}; border-radius: 5px; min-height: 24px; min-width: 24px; }}
QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
QProgressBar {{ background: {t.window}; border: 1px solid {t.line}; border-radius: 4px; text-align: center; color: {t.text}; }}
QProgressBar::chunk {{ background: {blend(t.accent, t.window, 0.35)}; border-radius: 3px; }}
QSlider:horizontal {{ min-height: 20px; }}
QSlider::groove:horizontal {{ height: 5px; background: {t.line}; border-radius: 2px; }}
QSlider::handle:horizontal {{ width: 14px; margin: -5px 0; background: {t.accent}; border-radius: 6px; }}
QSplitter::handle {{ background: {t.window}; }}
QSplitter::handle:horizontal {{ width: 5px; }}
QSplitter::handle:vertical {{ height: 5px; }}
QCheckBox {{ spacing: 6px; }}
QCheckBox::indicator, QListView::indicator, QTreeView::indicator {{ width: 15px; height: 15px; border: 2px solid {t.dim}; border-radius: 3px; background: {t.window}; }}
QCheckBox::indicator:checked, QListView::indicator:checked, QTreeView::indicator:checked {{ background: {t.accent}; border-color: {t.accent}; image: url("{tick}"); }}
QCheckBox::indicator:focus {{ border-color: {t.accent}; }}
QDialogButtonBox {{ dialogbuttonbox-buttons-have-icons: 0; }}
QComboBox, QAbstractSpinBox {{ background: {t.raised}; color: {t.text}; border: 1px solid {t.line}; border-radius: 4px;
  padding: 2px 2px 2px 7px; min-height: 22px; selection-background-color: {t.accent}; }}
QComboBox:hover, QAbstractSpinBox:hover {{ border-color: {t.accent}; }}
QComboBox:focus, QAbstractSpinBox:focus {{ border: 2px solid {t.accent}; padding: 1px 1px 1px 6px; }}
QComboBox:disabled, QAbstractSpinBox:disabled {{ background: {t.panel}; color: {t.dim}; }}
QAbstractSpinBox {{ background: {t.window}; }}
QComboBox::drop-down {{ border: none; width: 20px; }}
QComboBox::down-arrow {{ image: url("{down}"); width: 12px; height: 12px; }}
QAbstractSpinBox::up-button, QAbstractSpinBox::down-button {{ background: {t.raised}; border: none; width: 20px; }}
QAbstractSpinBox::up-button:hover, QAbstractSpinBox::down-button:hover {{ background: {t.line}; }}
QAbstractSpinBox::up-arrow {{ image: url("{up}"); width: 10px; height: 10px; }}
QAbstractSpinBox::down-arrow {{ image: url("{down}"); width: 10px; height: 10px; }}
QToolButton::menu-indicator {{ image: url("{down}"); width: 10px; height: 10px;
  subcontrol-origin: padding; subcontrol-position: right center; right: 4px; }}
QComboBox QAbstractItemView {{ background: {t.panel}; color: {t.text}; selection-background-color: {t.accent}; selection-color: {ink}; }}
TaskList::item {{ padding: 3px 4px; }}
TaskList::item:selected {{ background: {t.accent}; color: {ink}; }}
"""
