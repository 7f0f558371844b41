"""Rows, columns and grids of widgets whose gaps grow with the display size. GUI thread.

Problem: Qt's layouts keep their gaps in pixels while texts grow, so that at a large display size everything touches. Idea: the views use
these, which take gaps as written for display size S and set them again whenever the scale changes.

Example: `row = Row(self, margins=(8, 2, 8, 4), spacing=10)`.
"""

from app import theme
from app.qt import QtWidgets

Margins = tuple[int, int, int, int]
"""Left, top, right and bottom, pixels at display size S."""
SPACING = 6
AROUND: Margins = (9, 9, 9, 9)
"""Of the layout of a whole widget; a nested one has none."""


class Row(QtWidgets.QHBoxLayout):
    """Widgets side by side.

    Args:
        widget: whose layout it is; None for a nested one.
        margins: None = `AROUND` for a whole widget, none for a nested layout.
        spacing: between neighbours, pixels at display size S.
    """

    def __init__(
        self, widget: QtWidgets.QWidget | None = None, *, margins: Margins | None = None, spacing: int = SPACING
    ) -> None:
        super().__init__(widget)  # pyright: ignore[reportArgumentType, reportCallIssue]
        grow(self, margins=margins or AROUND if widget is not None else margins, spacing=spacing)


class Column(QtWidgets.QVBoxLayout):
    """Widgets below one another; arguments as of `Row`."""

    def __init__(
        self, widget: QtWidgets.QWidget | None = None, *, margins: Margins | None = None, spacing: int = SPACING
    ) -> None:
        super().__init__(widget)  # pyright: ignore[reportArgumentType, reportCallIssue]
        grow(self, margins=margins or AROUND if widget is not None else margins, spacing=spacing)


class Grid(QtWidgets.QGridLayout):
    """Widgets in rows and columns; arguments as of `Row`, and the spacing in each direction."""

    def __init__(
        self,
        widget: QtWidgets.QWidget | None = None,
        *,
        margins: Margins | None = None,
        spacing: tuple[int, int] = (SPACING, SPACING),
    ) -> None:
        super().__init__(widget)  # pyright: ignore[reportArgumentType, reportCallIssue]
        across, down = spacing
        grow(self, margins=margins or AROUND if widget is not None else margins)
        theme.on_scale(self, lambda grid: grid.setHorizontalSpacing(theme.px(across)))
        theme.on_scale(self, lambda grid: grid.setVerticalSpacing(theme.px(down)))


def grow(layout: QtWidgets.QLayout, *, margins: Margins | None = None, spacing: int | None = None) -> None:
    """Set gaps of a layout now, and again whenever the scale changes.

    Args:
        layout: any.
        margins: None = as they are.
        spacing: the same.
    """

    def use(layout: QtWidgets.QLayout) -> None:
        if margins is not None:
            layout.setContentsMargins(*(theme.px(size) for size in margins))
        if spacing is not None:
            layout.setSpacing(theme.px(spacing))

    theme.on_scale(layout, use)
