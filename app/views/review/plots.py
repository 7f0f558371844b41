"""State, action, gripper, noise norm and authority over time, with one cursor. GUI thread."""

import math
from typing import Any

import numpy as np
import pyqtgraph as pg

from app import theme
from app.qt import Qt, Signal
from app.views.plot import use_scale
from app.views.review.record import Record
from frs_core.arrays import Array

_ROWS = (
    ("tool m", "Position of the tool, base frame (x solid, y dashed, z dotted)"),
    ("action", "Executed action, robot units"),
    ("gripper", "0 open, 1 closed; measured solid, commanded dashed"),
    ("noise", "RMS of the executed noise; 1 is a typical draw"),
    ("authority", "0 = the policy's own motion, 1 = the request; dashed: value of the pick under the loaded policy"),
)
_LABEL_PX = 26
"""Height that a label of an axis needs, with its distance to the next, at display size S."""
_STYLES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine, Qt.PenStyle.DashDotLine)


class _SparseAxis(pg.AxisItem):
    """An axis with at most as many labels as have room in its height; pyqtgraph's own run into each other in low plots."""

    def tickValues(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, list[float]]]:
        """Return spacing and values of each level of ticks; `size` in pixels."""
        most = max(2, int(size / theme.px(_LABEL_PX)))
        levels = super().tickValues(minVal, maxVal, size)
        return [(spacing, list(ticks[:: math.ceil(len(ticks) / most) or 1])) for spacing, ticks in levels]


class Plots(pg.GraphicsLayoutWidget):
    """Five plots above each other."""

    position_chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName("Plots of the episode")
        theme.on_scale(self, lambda plots: plots.setMinimumHeight(theme.px(140)))
        self._record: Record | None = None
        self._names: list[Any] = []
        self._plots: list[Any] = []
        self._cursors: list[pg.InfiniteLine] = []
        for row, (title, tip) in enumerate(_ROWS):
            # Upright labels of axes would run into each other where the plots are low.
            self._names.append(self.ci.addLabel(title, row=row, col=0, justify="right"))
            plot: Any = self.ci.addPlot(row=row, col=1, axisItems={"left": _SparseAxis("left")})
            plot.setToolTip(tip)
            plot.hideButtons()
            plot.getAxis("left").enableAutoSIPrefix(False)
            plot.getAxis("bottom").enableAutoSIPrefix(False)
            plot.getAxis("left").setTickDensity(0.6)
            plot.getAxis("left").setStyle(maxTickLevel=0, hideOverlappingLabels=True)
            plot.setMenuEnabled(False)
            plot.setMouseEnabled(x=False, y=False)
            plot.getAxis("bottom").setStyle(showValues=row == len(_ROWS) - 1)
            if self._plots:
                plot.setXLink(self._plots[0])
            cursor = pg.InfiniteLine(angle=90, pen=pg.mkPen(theme.current().text, width=1.5 * theme.scale()))
            plot.addItem(cursor, ignoreBounds=True)
            self._plots.append(plot)
            self._cursors.append(cursor)
        self._plots[-1].setLabel("bottom", "seconds")
        scene: Any = self.scene()
        scene.sigMouseClicked.connect(self._on_clicked)
        layout: Any = self.ci.layout
        layout.setSpacing(2)
        layout.setContentsMargins(2, 2, 6, 2)

    def show_record(self, record: Record | None) -> None:
        """Plot another episode."""
        self._record = record
        for plot, cursor in zip(self._plots, self._cursors, strict=True):
            plot.clear()
            plot.addItem(cursor, ignoreBounds=True)
        if record is None or record.length == 0:
            return
        t = np.arange(record.length) / record.control_hz
        colours = theme.plot_colours()
        for i in range(3):
            self._curve(0, t, record.tcp[:, i], colours[i], _STYLES[i])
        for i in range(record.action.shape[1] - 1):
            self._curve(1, t, record.action[:, i], colours[i % len(colours)], _STYLES[i % len(_STYLES)])
        self._curve(2, t, record.gripper, colours[0], _STYLES[0])
        self._curve(2, t, record.gripper_command, colours[1], _STYLES[1])
        edges = np.array([m.start for m in record.marks] + [record.length]) / record.control_hz
        for row, values in ((3, [m.noise_norm for m in record.marks]), (4, [m.authority for m in record.marks])):
            steps = np.repeat(np.asarray(values, dtype=float), 2)
            self._curve(row, np.repeat(edges, 2)[1:-1], steps, colours[row % len(colours)], _STYLES[0])
        values = np.repeat(np.array([m.value for m in record.marks], dtype=float), 2)
        if np.isfinite(values).any():
            self._curve(4, np.repeat(edges, 2)[1:-1], values, colours[5 % len(colours)], _STYLES[1])
        self._plots[2].setYRange(-0.1, 1.1)
        self._plots[4].setYRange(-0.1, 1.1)
        self._plots[0].setXRange(0, record.length / record.control_hz, padding=0.01)
        self.show_position(0)

    def show_position(self, position: int) -> None:
        """Move the cursor of every plot."""
        if self._record is not None:
            for cursor in self._cursors:
                cursor.setValue(position / self._record.control_hz)

    def use_theme(self) -> None:
        """Use the current colours."""
        tokens = theme.current()
        self.setBackground(tokens.panel)
        for name, (title, _) in zip(self._names, _ROWS, strict=True):
            name.setText(title, color=tokens.dim, size=f"{theme.px(11)}px")
        for plot, cursor in zip(self._plots, self._cursors, strict=True):
            cursor.setPen(pg.mkPen(tokens.text, width=1.5 * theme.scale()))
            for name in ("left", "bottom"):
                plot.getAxis(name).setPen(tokens.line)
                plot.getAxis(name).setTextPen(tokens.dim)
                use_scale(plot.getAxis(name))
            plot.getAxis("left").setWidth(theme.px(38))
        self.show_record(self._record)

    def _curve(self, row: int, x: Array, y: Array, colour: str, style: Qt.PenStyle) -> None:
        self._plots[row].plot(x, y, pen=pg.mkPen(colour, width=1.5 * theme.scale(), style=style), connect="finite")

    def _on_clicked(self, event: object) -> None:
        if self._record is None:
            return
        point = self._plots[0].vb.mapSceneToView(event.scenePos())  # pyright: ignore[reportAttributeAccessIssue]
        position = round(point.x() * self._record.control_hz)
        self.position_chosen.emit(max(0, min(self._record.length - 1, position)))
