"""The checklist before a real robot moves. Start needs every required check and the person's own confirmation. GUI thread."""

from collections.abc import Sequence
from typing import Any

from app import theme
from app.boxes import Column, Grid
from app.qt import Qt, QtWidgets
from app.views.about import SAFETY
from app.views.widgets import label, set_tone
from app.workers import later

CONFIRM = "The emergency stop is in my hand, and nobody is within reach of the arm"
LEAST_PX, TEXT_PX = 720, 560
"""Width of the dialog at least, and of a finding's text in it, logical pixels."""
CHECKING = "Checking…"
_MARKS = {"ok": ("✔", "good"), "note": ("·", ""), "warning": ("⚠", "warn"), "failure": ("✘", "bad")}


class Checklist(QtWidgets.QDialog):
    """Findings by severity, a confirmation, Start and Cancel.

    Args:
        parent: the window.
        text: what will happen.
    """

    def __init__(self, parent: QtWidgets.QWidget, text: str) -> None:
        super().__init__(parent)
        self.setWindowTitle("Before the robot moves")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setModal(True)
        self._shown: tuple[Any, ...] = ()
        self._is_in_order = False
        self.head = label(text, "sentence", wrap=True)
        self._rows = QtWidgets.QWidget()
        self.verdict = label(CHECKING, wrap=True)
        self.confirm = QtWidgets.QCheckBox(CONFIRM)
        buttons = QtWidgets.QDialogButtonBox(QtWidgets.QDialogButtonBox.StandardButton.Cancel)
        start = buttons.addButton("Start", QtWidgets.QDialogButtonBox.ButtonRole.AcceptRole)
        assert start is not None
        self.start = start
        self.start.setProperty("role", "primary")
        self.start.setEnabled(False)
        self.cancel = buttons.button(QtWidgets.QDialogButtonBox.StandardButton.Cancel)
        assert self.cancel is not None
        self.cancel.setDefault(True)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        self.confirm.toggled.connect(lambda _on: self._show_start())
        self._column = column = Column(self, spacing=10)
        column.addWidget(self.head)
        column.addWidget(self._rows)
        column.addWidget(self.verdict)
        column.addWidget(label(SAFETY, "caption", wrap=True))
        column.addWidget(self.confirm)
        column.addWidget(buttons)
        theme.on_scale(self, lambda dialog: dialog.setMinimumWidth(theme.px(LEAST_PX)))
        self.confirm.setFocus()

    @property
    def lines(self) -> list[str]:
        """The findings as text, for the log."""
        return [f"{f.level.value} {f.subject}: {f.text}" for f in self._shown]

    def show_findings(self, findings: Sequence[Any]) -> None:
        """Show findings of `frs_core.doctor`, the worst first; a failure keeps Start disabled."""
        order = ("failure", "warning", "note", "ok")
        shown = tuple(sorted(findings, key=lambda f: order.index(f.level.value)))
        if shown != self._shown:
            self._shown = shown
            self._fill()
        failures = sum(f.level.value == "failure" for f in shown)
        warnings = sum(f.level.value == "warning" for f in shown)
        self._is_in_order = not failures
        if failures:
            self._say(f"{failures} of {len(shown)} must be put right before the robot may move", "bad")
        elif warnings:
            self._say(f"Everything required is in order; {warnings} of {len(shown)} to look at", "warn")
        else:
            self._say("Everything is in order", "good")
        self._show_start()

    def show_problem(self, text: str) -> None:
        """Say that the checks could not be made; nothing starts then."""
        self._is_in_order = False
        self._say(text, "bad")
        self._show_start()

    def accept(self) -> None:
        """Start only if everything required is in order and confirmed, whatever pressed it."""
        if self._is_in_order and self.confirm.isChecked():
            super().accept()

    def _say(self, text: str, tone: str) -> None:
        self.verdict.setText(text)
        set_tone(self.verdict, tone)

    def _show_start(self) -> None:
        may_start = self._is_in_order and self.confirm.isChecked()
        self.start.setEnabled(may_start)
        (self.start if may_start else self.cancel).setDefault(True)  # pyright: ignore[reportOptionalMemberAccess]

    def _fill(self) -> None:
        """Put new rows in the place of those shown."""
        rows = QtWidgets.QWidget()
        grid = Grid(rows, margins=(0, 0, 0, 0), spacing=(10, 4))
        grid.setColumnStretch(2, 1)
        for i, finding in enumerate(self._shown):
            sign, tone = _MARKS[finding.level.value]
            mark = label(sign)
            set_tone(mark, tone)
            text = f"{finding.text}\n→ {finding.fix}" if finding.fix and tone in ("warn", "bad") else finding.text
            grid.addWidget(mark, i, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(label(finding.subject, "caption"), i, 1, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(label(text, wrap=True), i, 2, Qt.AlignmentFlag.AlignTop)
        self._column.replaceWidget(self._rows, rows)
        for i in range(len(self._shown)):
            item = grid.itemAtPosition(i, 2)
            words = item.widget() if item is not None else None
            assert words is not None
            # The first size hint of a wrapped label ignores its width, and its font is that of the dialog only once it is in it.
            words.ensurePolished()
            words.setMinimumHeight(words.heightForWidth(theme.px(TEXT_PX)) + 2)
        self._rows.hide()
        self._rows.deleteLater()
        self._rows = rows
        # Otherwise the dialog keeps the room of the rows before, and more rows would be drawn over one another.
        rows.setFixedHeight(grid.minimumSize().height())
        self._column.activate()
        self.adjustSize()
        later(self, 0, self._fit_height)

    def _fit_height(self) -> None:
        """Give wrapped lines their room: `adjustSize` does not know their height yet."""
        self.resize(self.width(), max(self.height(), self._column.totalHeightForWidth(self.width())))
