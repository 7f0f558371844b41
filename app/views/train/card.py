"""The figures of a trained policy, before and after training. GUI thread."""

import math

from app.boxes import Grid
from app.qt import Qt, QtWidgets
from app.views.widgets import label, set_tone
from frs_core.counts import counted
from frs_core.evaluation.wilson import difference, format_rate
from frs_core.learning import Scores, TrainResult

ROWS = (
    ("noise", "Error", "Mean squared difference of predicted and executed noises, or actions; smaller is better"),
    ("agreement", "Agrees with you", "How often the candidate nearest to its noise is the one you picked"),
    ("success", "Success in simulation", "Success rate on new scenes, with the 95 % Wilson interval"),
)


class BeforeAfter(QtWidgets.QFrame):
    """A table of three figures, before and after training."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "panel")
        grid = Grid(self, spacing=(18, 6))
        grid.addWidget(label("Before and after", "title"), 0, 0)
        for column, text in ((1, "policy alone"), (2, "with the trained policy")):
            grid.addWidget(label(text, "caption"), 0, column, Qt.AlignmentFlag.AlignBottom)
        self._cells: dict[tuple[str, int], QtWidgets.QLabel] = {}
        for row, (key, title, tip) in enumerate(ROWS, 1):
            name = label(title)
            name.setToolTip(tip)
            grid.addWidget(name, row, 0)
            for column in (1, 2):
                cell = label("–", "value")
                cell.setToolTip(tip)
                cell.setAccessibleName(f"{title}, {'before' if column == 1 else 'after'}")
                grid.addWidget(cell, row, column)
                self._cells[key, column] = cell
        self.details = label("", "caption", wrap=True)
        grid.addWidget(self.details, len(ROWS) + 1, 0, 1, 3)
        grid.setColumnStretch(2, 1)

    def show_result(self, result: TrainResult) -> None:
        """Show a finished training."""
        self.show_scores(result.scores)
        held = "held-out episodes" if result.scores.is_held_out else "the training episodes (none was held out)"
        words = [
            f"{result.name}: {counted(result.episodes, 'episode')}, {counted(result.chunks, 'chunk')}, {counted(result.steps, 'step')} in "
            f"{result.seconds:.0f} s{', stopped early' if result.was_cancelled else ''}",
            f"Measured on {counted(result.scores.chunks, 'chunk')} of {held}",
            *result.notes,
        ]
        self.details.setText(". ".join(words))

    def show_scores(self, scores: Scores) -> None:
        """Show the held-out figures."""
        # Behaviour cloning has no error before training; it is compared with the mean label.
        bar = scores.error_before if math.isfinite(scores.error_before) else scores.error_constant
        self._set("noise", _number(scores.error_before), _number(scores.error_after), scores.error_after < bar)
        self._set(
            "agreement",
            _share(scores.agreement_before),
            _share(scores.agreement_after),
            scores.agreement_after > scores.chance,
        )
        self._set("success", "–", "–", None)

    def show_success(self, before: tuple[int, int], after: tuple[int, int]) -> None:
        """Show (successes, trials) of both."""
        self._set("success", format_rate(*before), format_rate(*after), None)
        if not (before[1] and after[1]):
            return
        low, high = difference(before, after)
        words, tone = (
            ("▲ better", "good") if low > 0 else ("▼ worse", "warn") if high < 0 else ("no clear difference", "")
        )
        cell = self._cells["success", 2]
        cell.setText(f"{format_rate(*after)}  {words}")
        set_tone(cell, tone)

    def text(self, key: str, column: int) -> str:
        """Return the text of a cell."""
        return self._cells[key, column].text()

    def _set(self, key: str, before: str, after: str, is_better: bool | None) -> None:
        self._cells[key, 1].setText(before)
        sign = "" if is_better is None or after == "–" else ("  ▲ better" if is_better else "  ▼ not better")
        self._cells[key, 2].setText(after + sign)
        set_tone(self._cells[key, 2], "" if not sign else ("good" if is_better else "warn"))


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "–"


def _share(value: float) -> str:
    return f"{value:.0%}" if math.isfinite(value) else "–"
