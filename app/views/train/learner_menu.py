"""The menu of learners: one entry per row of the registry; unavailable ones are disabled with a reason. GUI thread."""

from app.facts import Facts
from app.qt import Qt, QtGui, QtWidgets
from app.views.widgets import plain_tip
from frs_core.learning import LearnerSpec, Need, learners


class LearnerMenu(QtWidgets.QComboBox):
    """A menu of learners.

    Args:
        facts: of this run; they decide which learners are available.
    """

    def __init__(self, facts: Facts) -> None:
        super().__init__()
        self._facts = facts
        self._rows = tuple(learners().values())
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setAccessibleName("Learner to train")
        for row in self._rows:
            self.addItem(row.title, row.id)
        self.show_rows()

    @property
    def chosen(self) -> str:
        """Id of the chosen learner."""
        return self.currentData()

    def show_rows(self) -> None:
        """Update which learners can be trained."""
        model = self.model()
        assert isinstance(model, QtGui.QStandardItemModel)
        for index, row in enumerate(self._rows):
            problem = why_not(row, self._facts)
            item = model.item(index)
            assert item is not None
            item.setEnabled(not problem)
            item.setToolTip(plain_tip(f"{row.summary}. {problem}" if problem else row.summary))


def why_not(row: LearnerSpec, facts: Facts) -> str:
    """Return why a learner cannot be trained from this window, with the fix; empty when it can."""
    if row.needs_any(Need.GENERALIST) and facts.generalist is None:
        return f"It loads the generalist itself, which this window cannot set up; use `frs train {row.id}`"
    if Need.ENVIRONMENT in row.needs:
        return "It learns by acting; use Practise"
    return ""
