"""All cameras of Drive: one large with the others beside or below it, or one alone.

Images of any shape must fill the pane: two arrangements are tried, and the one with larger images is kept. Views in other windows, the
`guests`, are shown the same as the view of their camera here. GUI thread.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from app import theme
from app.qt import QtGui, QtWidgets, Signal
from app.views.cameras import CameraModel, CameraView
from app.views.fan_curves import FanStyle
from frs_core.steering.candidates import Candidate


class CameraGrid(QtWidgets.QWidget):
    """All cameras: one large with the others beside or below it, or one alone."""

    primary_changed = Signal(str)
    candidate_hovered = Signal(object)
    curve_chosen = Signal(str, object, object)
    """A curve was clicked in the large image: the candidate's label, its fan and when."""
    place_chosen = Signal(object, object)
    """A place was clicked in the large image: the frame and its pixel."""
    painted = Signal()
    """A view was painted; others may follow in the same pass."""
    arranged = Signal()
    """Views were placed; their images may have other sizes."""

    GAP = 6

    def __init__(self, cap_of: Callable[[Candidate], str], parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._cap_of = cap_of
        self.views: dict[str, CameraView] = {}
        self.primary = ""
        self.is_alone = False
        self._swapped = ""
        self._is_sparse = False
        self.guests: list[CameraView] = []
        """Views in other windows."""
        theme.on_scale(self, lambda grid: grid.setMinimumSize(theme.px(360), theme.px(200)))

    def show_models(self, models: list[CameraModel]) -> None:
        """Show these cameras; adds and removes views as needed."""
        names = [m.name for m in models]
        if names != list(self.views):
            self._rebuild(names)
        given = models
        if self._is_sparse:
            models = [
                m if m.name == self.primary else replace(m, style=replace(m.style, has_caps=False)) for m in models
            ]
        aspects = [v.aspect for v in self.views.values()]
        for model in models:
            self.views[model.name].show_model(model)
        self.show_guests(given)
        if aspects != [v.aspect for v in self.views.values()]:
            self._arrange()

    def restyle(self, style: FanStyle) -> None:
        """Change the highlight of every view."""
        for name, view in self.views.items():
            view.restyle(replace(style, has_caps=style.has_caps and not (self._is_sparse and name != self.primary)))

        for view in self.guests:
            view.restyle(style)

    def show_guests(self, models: list[CameraModel]) -> None:
        """Show the views in other windows alone: this pane may be hidden while they are not."""
        for model in models:
            for view in self.guests:
                if view.model.name == model.name:
                    view.show_model(model)

    def use_sparse(self, is_sparse: bool) -> None:
        """Write the keys in the large image only, or in all, from the next models on."""
        self._is_sparse = is_sparse

    def show_time(self, now_ns: int, rows_done: float) -> None:
        """Update ages and the mark on the picked curve; images and fan stay."""
        for view in (*self.views.values(), *self.guests):
            if view.model.frame is not None:
                age_s = max(0, now_ns - view.model.frame.captured_ns) / 1e9
                view.show_model(replace(view.model, age_s=age_s, rows_done=rows_done))

    @property
    def sizes_shown(self) -> dict[str, tuple[int, int]]:
        """Height and width of each image that is shown, pixels of the screen."""
        return {
            name: view.size_shown for name, view in self.views.items() if not view.isHidden() and any(view.size_shown)
        }

    def set_primary(self, name: str) -> None:
        """Make one camera the large one."""
        if name in self.views and name != self.primary:
            self.primary = name
            self._arrange()
            self.primary_changed.emit(name)

    def next_camera(self) -> None:
        """Make the next camera the large one."""
        names = list(self.views)
        if names:
            self.set_primary(names[(names.index(self.primary) + 1) % len(names)] if self.primary in names else names[0])

    def toggle_alone(self) -> None:
        """Show the large camera alone, or all."""
        self.is_alone = not self.is_alone
        self._arrange()

    def resizeEvent(self, event: QtGui.QResizeEvent | None) -> None:
        """Arrange the views again."""
        self._arrange()

    def _rebuild(self, names: list[str]) -> None:
        for view in self.views.values():
            view.setParent(None)
            view.deleteLater()
        self.views = {}
        for name in names:
            view = CameraView(name, self._cap_of, self)
            view.clicked.connect(self._on_clicked)
            view.curve_clicked.connect(self._on_curve)
            view.place_clicked.connect(self._on_place)
            view.double_clicked.connect(self._on_double_clicked)
            view.candidate_hovered.connect(self.candidate_hovered)
            view.painted.connect(self.painted)
            view.show()
            self.views[name] = view
        if self.primary not in self.views and names:
            self.primary = names[0]
            self.primary_changed.emit(self.primary)
        self._arrange()

    def _on_clicked(self, name: str) -> None:
        # Before it is large: this very click is not one in the large image.
        self._swapped = name if name != self.primary else ""
        self.set_primary(name)

    def _on_curve(self, name: str, candidate: str, fan: object, at_ns: object) -> None:
        if name == self.primary and name != self._swapped:
            self.curve_chosen.emit(candidate, fan, at_ns)
        self._swapped = ""

    def _on_place(self, name: str, frame: object, pixel: object) -> None:
        if name == self.primary and name != self._swapped:
            self.place_chosen.emit(frame, pixel)
        self._swapped = ""

    def _on_double_clicked(self, name: str) -> None:
        if self.is_alone:
            self.is_alone = False
        else:
            self.is_alone = True
            self.primary = name
            self.primary_changed.emit(name)
        self._arrange()

    def _arrange(self) -> None:
        if self.views:
            self._place()
            self.arranged.emit()

    def _place(self) -> None:
        others = [n for n in self.views if n != self.primary]
        if self.is_alone or not others:
            for name, view in self.views.items():
                view.setVisible(name == self.primary)
            self.views[self.primary].setGeometry(self.rect())
            return
        boxes = pack(
            self.width(),
            self.height(),
            self.views[self.primary].aspect,
            [self.views[n].aspect for n in others],
            gap=self.GAP,
        )
        for name, box in zip([self.primary, *others], boxes, strict=True):
            self.views[name].setGeometry(*box)
            self.views[name].setVisible(True)


def pack(width: int, height: int, primary: float, others: list[float], *, gap: int) -> list[tuple[int, int, int, int]]:
    """Return (x, y, w, h) of the large image and the small ones, beside or below it, whichever shows more.

    Args:
        width: of the area, pixels.
        height: of the area, pixels.
        primary: width over height of the large image.
        others: of the small ones, in order.
        gap: between images, pixels.
    """
    best: tuple[float, list[tuple[int, int, int, int]]] | None = None
    for is_column in (True, False):
        for share in np.linspace(0.50, 0.85, 15):
            if is_column:
                first = (0, 0, int(width * share), height)
                rest_w = width - first[2] - gap
                rest_h = (height - gap * (len(others) - 1)) // len(others)
                rest = [(first[2] + gap, i * (rest_h + gap), rest_w, rest_h) for i in range(len(others))]
            else:
                first = (0, 0, width, int(height * share))
                rest_h = height - first[3] - gap
                rest_w = (width - gap * (len(others) - 1)) // len(others)
                rest = [(i * (rest_w + gap), first[3] + gap, rest_w, rest_h) for i in range(len(others))]
            area = _shown(first, primary) + 0.45 * sum(_shown(b, a) for b, a in zip(rest, others, strict=True))
            if best is None or area > best[0]:
                best = (area, [first, *rest])
    assert best is not None
    return best[1]


def _shown(box: tuple[int, int, int, int], aspect: float) -> float:
    """Return the area an image covers inside a box."""
    w, h = max(box[2], 0), max(box[3], 0)
    return min(w, h * aspect) * min(h, w / aspect)
