"""The episodes on disk, listed and edited off the GUI thread.

Problem: a folder of a thousand episodes on a slow disk must not block the window, and a label changed by mistake must be
undone with one key. Idea: one worker thread owns the `EpisodeStore`; requests are queued and results come back as signals; every
edit is a command on Qt's undo stack. Motion is never on that stack. A list is shown at once; while nothing else is asked for, the
thread inspects its episodes, first all sizes, then all bytes, and lists again if one of them is damaged.

Signals arrive on the GUI thread.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from app.qt import QtCore, QtGui, Signal
from app.workers import Relay
from frs_core.counts import counted
from frs_core.episodes import EpisodeInfo, EpisodeStore
from frs_core.episodes.index import read_info
from frs_core.episodes.soundness import inspected, needs_inspection
from frs_core.errors import EpisodeError, FrsError
from frs_core.evaluation.blind_log import sealed_episodes
from frs_core.events import Outcome
from frs_core.runtime.image_files import shrink

THUMB = (72, 54)
"""Width and height of a thumbnail, logical pixels."""
REST = 3.0
"""Pause after each inspection, as a multiple of its duration, so that a running episode keeps the processor."""


class Library(Relay):
    """Lists and edits the episodes of one recording root.

    Args:
        root: recording root; None = nothing is recorded here.
        parent: the page that receives the signals.
    """

    listed = Signal(object)
    """(tuple of EpisodeInfo, is_binned)."""
    thumbnail_made = Signal(str, object)
    """Episode name and QImage."""
    failed = Signal(str)
    edited = Signal()

    def __init__(self, root: Path | None, parent: QtCore.QObject | None = None) -> None:
        super().__init__(parent)
        self.root = root
        self._is_closed = False
        self._queue: queue.Queue[Callable[[EpisodeStore], None] | None] = queue.Queue(maxsize=256)
        self._thread: threading.Thread | None = None
        self._thumbs: set[str] = set()
        self._uninspected: deque[tuple[EpisodeInfo, bool]] = deque()
        """Rows and whether to compare all bytes; used on the thread."""
        self._rest_s = 0.0
        self._shown: tuple[list[EpisodeInfo], bool] = ([], False)

    def refresh(self, *, binned: bool = False) -> None:
        """Reload the list; the result is emitted as `listed`."""
        self._put(lambda store: self._list(store, binned))

    def make_thumbnails(self, infos: list[EpisodeInfo]) -> None:
        """Decode one image per new episode."""
        for info in infos:
            if info.name not in self._thumbs and not info.problem:
                self._thumbs.add(info.name)
                self._put(lambda _store, i=info: self._thumb(i))

    def edit(self, change: Callable[[EpisodeStore], None]) -> None:
        """Change something on disk, then emit `edited`."""

        def work(store: EpisodeStore) -> None:
            change(store)
            self.tell("edited")

        self._put(work)

    def inspect(self, infos: list[EpisodeInfo]) -> None:
        """Compare all bytes of some episodes before anything else that waits."""

        def work(_store: EpisodeStore) -> None:
            self._uninspected.extendleft((i, True) for i in infos)
            self._rest_s = 0.0

        self._put(work)

    def close(self) -> None:
        """Finish the queued requests without signals, and stop the thread."""
        self.hush()
        self._is_closed = True
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(10.0)
            self._thread = None

    def _put(self, work: Callable[[EpisodeStore], None]) -> None:
        if self.root is None or self._is_closed:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, args=(self.root,), name="app-library", daemon=True)
            self._thread.start()
        try:
            self._queue.put_nowait(work)
        except queue.Full:
            self.tell("failed", "Too many changes at once; wait a moment, then try again")

    def _run(self, root: Path) -> None:
        store = EpisodeStore(root)
        while True:
            try:
                work = self._queue.get(timeout=self._rest_s if self._uninspected else None)
            except queue.Empty:
                self._safely(self._inspect_next)
                continue
            try:
                if work is None:
                    return
                self._safely(lambda work=work: work(store))
            finally:
                self._queue.task_done()

    def _safely(self, work: Callable[[], None]) -> None:
        """Do something with files; a damaged one can raise anything, and the thread continues."""
        try:
            work()
        except Exception as error:
            known = isinstance(error, (FrsError, OSError))
            self.tell("failed", str(error) if known else f"An episode cannot be read: {type(error).__name__}: {error}")

    def _list(self, store: EpisodeStore, binned: bool) -> None:
        # A recording tells who drove in a comparison that is still blinded.
        sealed = sealed_episodes(store.root)
        infos = tuple(i for i in store.list(binned=binned) if i.name not in sealed)
        self.tell("listed", (infos, binned))
        newest = infos[::-1]
        rounds = [[(i, whole) for i in newest if needs_inspection(i, whole=whole)] for whole in (False, True)]
        self._uninspected = deque([*rounds[0], *rounds[1]])
        self._rest_s, self._shown = 0.0, (list(infos), binned)

    def _inspect_next(self) -> None:
        """Inspect one episode; list again where something is found that the list did not say."""
        info, whole = self._uninspected.popleft()
        started = time.monotonic()
        # One that is gone was moved to the bin or restored by somebody; that is no damage.
        if info.path.exists() and needs_inspection(info, whole=whole):
            found = inspected(read_info(info.path, is_binned=info.is_binned), whole=whole)
            infos, binned = self._shown
            row = next((i for i, shown in enumerate(infos) if shown.path == info.path), None)
            if row is not None and (found.problem, found.drivers) != (infos[row].problem, infos[row].drivers):
                infos[row] = found
                self.tell("listed", (tuple(infos), binned))
        self._rest_s = REST * (time.monotonic() - started)

    def _thumb(self, info: EpisodeInfo) -> None:
        from frs_core.episodes import Episode

        try:
            episode = Episode(info.path)
            image = episode.boundary_image(episode.cameras[0], episode.main_line[-1])
        except EpisodeError:
            # The list says what is wrong with it.
            self._uninspected.appendleft((info, True))
            return
        small = shrink(image, size=(THUMB[1] * 2, THUMB[0] * 2))
        height, width = small.shape[:2]
        image = QtGui.QImage(small.tobytes(), width, height, 3 * width, QtGui.QImage.Format.Format_RGB888).copy()
        self.tell("thumbnail_made", info.name, image)


class Edit(QtGui.QUndoCommand):
    """One edit of some episodes, with its undo.

    Args:
        library: runs the edit.
        text: shown in the toast, e.g. "Label changed".
        do: called with the store and each episode's name.
        undo: reverts it, called the same way.
        names: of the episodes.
    """

    def __init__(
        self,
        library: Library,
        text: str,
        *,
        names: list[str],
        do: Callable[[EpisodeStore, str], None],
        undo: Callable[[EpisodeStore, str], None],
    ) -> None:
        super().__init__(text)
        self._library, self._names, self._do, self._undo = library, names, do, undo

    def redo(self) -> None:
        """Run the edit; Qt also calls this the first time."""
        self._library.edit(lambda store: self._each(store, self._do))

    def undo(self) -> None:
        """Revert the edit."""
        self._library.edit(lambda store: self._each(store, self._undo))

    def _each(self, store: EpisodeStore, change: Callable[[EpisodeStore, str], None]) -> None:
        for name in self._names:
            change(store, name)


def relabel(library: Library, infos: list[EpisodeInfo], outcome: Outcome) -> Edit:
    """Return the command that changes the label of episodes."""
    former = {i.name: i.outcome for i in infos}

    def undo(store: EpisodeStore, name: str) -> None:
        before = former[name]
        if before is not None:
            store.relabel(name, before)

    return Edit(
        library,
        f"Marked as {outcome.value}",
        names=list(former),
        do=lambda store, name: store.relabel(name, outcome),
        undo=undo,
    )


def trim(library: Library, info: EpisodeInfo, first: int, last: int) -> Edit:
    """Return the command that leaves out chunks at the ends of an episode's whole main line."""
    return Edit(
        library,
        f"{counted(first, 'chunk')} left out at the start, {last} at the end"
        if first or last
        else "The whole episode counts again",
        names=[info.name],
        do=lambda store, name: store.trim(name, first, last),
        undo=lambda store, name: store.trim(name, *info.trimmed),
    )


def renote(library: Library, info: EpisodeInfo, text: str) -> Edit:
    """Return the command that replaces an episode's note."""
    return Edit(
        library,
        "Note changed",
        names=[info.name],
        do=lambda store, name: store.note(name, text),
        undo=lambda store, name: store.note(name, info.note),
    )


def move_to_bin(library: Library, infos: list[EpisodeInfo]) -> Edit:
    """Return the command that moves episodes to the bin."""
    return Edit(
        library,
        f"{len(infos)} moved to the bin",
        names=[i.name for i in infos],
        do=lambda store, name: store.bin(name),
        undo=lambda store, name: store.restore(name),
    )


def restore(library: Library, infos: list[EpisodeInfo]) -> Edit:
    """Return the command that restores episodes."""
    return Edit(
        library,
        f"{len(infos)} restored",
        names=[i.name for i in infos],
        do=lambda store, name: store.restore(name),
        undo=lambda store, name: store.bin(name),
    )
