"""The saved noise policies: what each was trained on, and whether it fits the present policy. GUI thread."""

import datetime
from pathlib import Path

from app.qt import Qt, QtWidgets
from frs_core.learning import Story

PATH = Qt.ItemDataRole.UserRole


class SavedList(QtWidgets.QTreeWidget):
    """One row per saved policy, newest first."""

    def __init__(self) -> None:
        super().__init__()
        self.setHeaderLabels(["", "name", "trained on", "made"])
        self.setRootIsDecorated(False)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName("Saved noise policies")
        for column, width in enumerate((28, 150, 190, 96)):
            self.setColumnWidth(column, width)

    def show_saved(self, saved: tuple[tuple[Path, Story], ...], *, fingerprint: str, in_use: str | None) -> None:
        """Show these; the one in use has a star, one of another policy cannot be chosen."""
        chosen = self.chosen()
        self.clear()
        for path, story in saved:
            fits = not fingerprint or story.policy_fingerprint == fingerprint
            is_used = in_use is not None and Path(in_use).resolve() == path.resolve()
            made = datetime.datetime.fromtimestamp(story.made_at).strftime("%d %b %H:%M") if story.made_at else ""
            item = QtWidgets.QTreeWidgetItem(
                ["★" if is_used else ("" if fits else "⊘"), story.name, trained_on(story), made]
            )
            item.setData(0, PATH, str(path))
            if not fits:
                item.setFlags(Qt.ItemFlag.NoItemFlags)
                for column in range(4):
                    item.setToolTip(
                        column, f"Refused: made for policy {story.policy_fingerprint[:12]}, this is {fingerprint[:12]}"
                    )
            else:
                for column in range(4):
                    item.setToolTip(column, f"{trained_on(story)}\npolicy {story.policy_fingerprint[:12]}\n{path}")
            self.addTopLevelItem(item)
            if chosen == path:
                self.setCurrentItem(item)

    def chosen(self) -> Path | None:
        """The selected policy's folder."""
        item = self.currentItem()
        return Path(item.data(0, PATH)) if item is not None else None

    def choose(self, path: Path) -> None:
        """Select a policy."""
        for i in range(self.topLevelItemCount()):
            item = self.topLevelItem(i)
            if item is not None and Path(item.data(0, PATH)).resolve() == path.resolve():
                self.setCurrentItem(item)


def trained_on(story: Story) -> str:
    """Return what a policy learned from, in words."""
    data = story.data
    episodes = data.get("episodes", ())
    count = len(episodes) if isinstance(episodes, (list, tuple)) else episodes
    tasks = data.get("tasks", ())
    words = ", ".join(str(t).replace("_", " ") for t in tasks) if isinstance(tasks, (list, tuple)) else str(tasks)
    return f"{count} episodes, {data.get('chunks', '?')} chunks" + (f": {words}" if words else "")
