"""The page of failsafes: every cause of Hold, where it is noticed, its limit and what to do. GUI thread."""

from app import theme
from app.boxes import Column
from app.qt import Qt, QtCore, QtWidgets, Signal
from app.views.widgets import label, size_dialog
from frs_core.events import Phase, Snapshot
from frs_core.robot.limits import Limits
from frs_core.session.failsafes import FAILSAFES, SETTABLE, Failsafe

COLUMNS = ("cause", "holds when", "limit", "noticed by", "then")
HEAD = (
    "Everything that makes the robot hold. Limits are enforced below this window, by the session or the robot's process; those of waiting "
    "and of attention can be set while the robot holds. Hold is done in software, it is not an emergency stop."
)
NO_HOLD = "It is your turn (no hold)"


class FailsafePage(QtWidgets.QDialog):
    """The table and the robot's limits.

    Args:
        parent: the window.
        limits: of the robot; None before it has started.
    """

    changed = Signal(str, float)
    """Name of a limit and the value that the operator wants."""
    reset_asked = Signal()

    def __init__(self, parent: QtWidgets.QWidget, limits: Limits | None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Causes of Hold")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.table = QtWidgets.QTableWidget(len(FAILSAFES), len(COLUMNS))
        self.table.setAccessibleName("Causes of Hold and their limits")
        self.table.setHorizontalHeaderLabels(COLUMNS)
        self.table.setEditTriggers(QtWidgets.QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QtWidgets.QAbstractItemView.SelectionMode.NoSelection)
        self.table.setWordWrap(True)
        self.fields: dict[str, QtWidgets.QDoubleSpinBox] = {}
        self._shown: dict[str, float] = {}
        for i, row in enumerate(FAILSAFES):
            cause = row.reason.value.partition(". ")[0] if row.reason is not None else NO_HOLD
            for column, text in ((0, cause), (1, row.trips), (2, limit_text(row)), (3, row.place), (4, row.remedy)):
                self.table.setItem(i, column, QtWidgets.QTableWidgetItem(text))
            if row.option:
                self.fields[row.option] = self._field(row)
                self.table.setCellWidget(i, 2, self.fields[row.option])
        self._set_widths()
        self.robot = label(robot_text(limits), "caption", wrap=True)
        buttons = QtWidgets.QDialogButtonBox(QtWidgets.QDialogButtonBox.StandardButton.Close)
        self.defaults = buttons.addButton("Defaults", QtWidgets.QDialogButtonBox.ButtonRole.ResetRole)
        assert self.defaults is not None
        self.defaults.clicked.connect(self.reset_asked)
        buttons.rejected.connect(self.reject)
        column = Column(self)
        column.addWidget(label(HEAD, wrap=True))
        column.addWidget(self.table, 1)
        column.addWidget(self.robot)
        column.addWidget(buttons)
        size_dialog(self, 1180, 690)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show the values in use; they can be changed while the robot holds."""
        is_holding = snapshot.phase is Phase.HOLD
        for option, field in self.fields.items():
            value = snapshot.failsafes.get(option)
            field.setEnabled(is_holding and value is not None)
            if value is not None and self._shown.get(option) != value:
                self._shown[option] = value
                field.blockSignals(True)
                field.setValue(value)
                field.setSuffix(unit_of(SETTABLE[option], value))
                field.blockSignals(False)
        if self.defaults is not None:
            self.defaults.setEnabled(is_holding)

    def _set_widths(self) -> None:
        header, rows = self.table.horizontalHeader(), self.table.verticalHeader()
        assert header is not None
        assert rows is not None
        rows.hide()
        for column, width in ((0, 250), (2, 118), (3, 84)):
            self.table.setColumnWidth(column, theme.px(width))
        for column in (1, 4):
            header.setSectionResizeMode(column, QtWidgets.QHeaderView.ResizeMode.Stretch)
        rows.setMinimumSectionSize(theme.px(26))
        fit = QtCore.QTimer(self)
        fit.setSingleShot(True)
        fit.timeout.connect(self.table.resizeRowsToContents)
        # Once after all columns have their new width: rows wrap to it.
        header.sectionResized.connect(lambda *_: fit.start(0))

    def _field(self, row: Failsafe) -> QtWidgets.QDoubleSpinBox:
        field = QtWidgets.QDoubleSpinBox()
        field.setDecimals(0 if row.unit == "chunks" else 1)
        field.setRange(row.low, row.high)
        field.setSuffix(unit_of(row, row.low))
        field.setKeyboardTracking(False)
        field.setFocusPolicy(QtCore.Qt.FocusPolicy.StrongFocus)
        field.setAccessibleName(row.name)
        field.setToolTip(f"{row.low:g} to {row.high:g} {row.unit}; {row.limit:g} by default")
        field.valueChanged.connect(lambda value: field.setSuffix(unit_of(row, value)))
        field.valueChanged.connect(lambda value, option=row.option: self.changed.emit(option, value))
        return field


def unit_of(row: Failsafe, value: float) -> str:
    """Return the unit of a limit as it follows a value."""
    unit = "chunk" if row.unit == "chunks" and value == 1 else row.unit
    return f" {unit}"


def limit_text(row: Failsafe) -> str:
    """Return a fixed limit as text."""
    return "at once" if row.limit is None else f"{row.limit:g} {row.unit}"


def robot_text(limits: Limits | None) -> str:
    """Return the robot's own limits as text."""
    if limits is None:
        return "The robot's limits are known once it has started."
    low, high = (
        " ".join(f"{1000 * x:.0f}" for x in corner) for corner in (limits.workspace_low, limits.workspace_high)
    )
    words = [
        f"workspace from {low} to {high} mm",
        f"{1000 * limits.max_translation:.0f} mm and {limits.max_rotation:.2g} rad per action",
        f"{limits.max_joint_step:.2g} rad per joint and action",
        f"{limits.joint_margin:.2g} rad from joint limits",
        "joint speed limited" if limits.joint_speed is not None else "",
        f"{limits.joint_jump:.2g} rad between actions" if limits.joint_jump is not None else "",
    ]
    shown = ", ".join(w for w in words if w)
    return f"Never passed, whatever is asked: {shown}. They belong to the robot; --world-options sets those that it lets be set."
