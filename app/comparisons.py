"""Blinded comparisons in the window: set one up, have its attempts driven, exclude, look, unblind, export.

Built when it is first asked for, because it imports what the first image does not need. Holds the comparison that is being made. GUI
thread; what is on disk is read by jobs.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from app import theme
from app.facts import Facts
from app.names import in_words, policy_name
from app.qt import QtCore, QtGui, QtWidgets
from app.views.compare.attempts import BlindAttempts
from app.views.compare.labels import BlindLabel
from app.views.compare.results import ResultsDialog
from app.views.compare.setup import CompareDialog, Offered, sound
from app.views.review.library import Library
from app.workers import Job
from frs_core.episodes import EpisodeStore
from frs_core.errors import FrsError
from frs_core.evaluation.blind import Blind, list_blind, new_folder
from frs_core.evaluation.blind_plan import BASE, Arm, draw_plan, learned_arm
from frs_core.evaluation.blind_report import export, markdown_of
from frs_core.learning import Acts, find_learner, list_saved
from frs_core.learning.practice_folder import version_folder
from frs_core.learning.practice_record import list_practices

NO_FOLDER = "Recording is off, and a comparison needs a recording folder; start the cockpit with one"


class Comparisons(QtCore.QObject):
    """What the actions of comparisons do.

    Args:
        window: parent of the dialogs.
        attempts: of comparisons, in Drive.
        facts: of this run.
        undo: where the labels of attempts go.
        task_now: returns the task or instruction that Drive shows.
        others: returns why no comparison can begin, for reasons outside of it; empty where one can.
        show_drive: shows Drive.
        say: shows a toast (text, tone, action).
    """

    def __init__(
        self,
        window: QtWidgets.QWidget,
        *,
        attempts: BlindAttempts,
        facts: Facts,
        undo: QtGui.QUndoStack,
        task_now: Callable[[], str],
        others: Callable[[], str],
        show_drive: Callable[[], object],
        say: Callable[..., None],
    ) -> None:
        super().__init__(window)
        self._window, self._facts, self._undo = window, facts, undo
        self._task_now, self._others, self._show_drive, self._say = task_now, others, show_drive, say
        self.attempts = attempts
        attempts.failed.connect(self._on_failed)
        attempts.completed.connect(self._on_completed)
        attempts.stopped.connect(self._on_stopped)
        attempts.labelled.connect(self._on_labelled)
        self.library = Library(facts.root, self)
        self.setup: CompareDialog | None = None
        self.results: ResultsDialog | None = None
        self.reason: QtWidgets.QInputDialog | None = None
        self._shown: Path | None = None
        """Folder of the comparison whose results are shown."""
        self._last: Path | None = None
        """Folder of the comparison that was made last."""
        self.handlers: dict[str, Callable[[], None]] = {
            "compare.new": self.show_setup,
            "compare.exclude": self.ask_reason,
            "compare.results": self.show_results,
            "compare.stop": self.stop,
        }

    @property
    def blind(self) -> Blind | None:
        """The comparison that is being made."""
        return self.attempts.blind if self.attempts.is_on else None

    # --- beginning ----------------------------------------------------------------------------------------

    def show_setup(self) -> None:
        """Open the dialog that sets up a comparison, or continues one."""
        root, spec = self._facts.root, self._facts.policy_spec
        if root is None:
            self._say(NO_FOLDER, "warn")
            return
        if self.blind is not None:
            self._say("A blinded comparison is running; stop it first", "warn")
            return
        if reason := self._others():
            self._say(reason, "warn")
            return
        if spec is None or not self._facts.is_world_known:
            self._say("Robot and policy are still starting", "warn")
            return
        dialog = self.setup = CompareDialog(self._window, task=self._task_now())
        dialog.begin_asked.connect(self._begin)
        dialog.continue_asked.connect(self._continue)
        dialog.results_asked.connect(self._show)
        dialog.finished.connect(self._forget_setup)
        tasks, fingerprint = self._facts.tasks, self._facts.fingerprint
        job = Job(lambda _tell: offered(root, tasks=tasks, fingerprint=fingerprint), self)
        job.finished.connect(self._on_offered)
        job.failed.connect(self._on_setup_failed)
        job.start()
        dialog.open()

    def _forget_setup(self, _result: int) -> None:
        self.setup = None

    def _on_offered(self, found: object) -> None:
        assert isinstance(found, Offered)
        if self.setup is not None:
            self.setup.show_offered(found)

    def _on_setup_failed(self, error: object) -> None:
        if self.setup is not None:
            self.setup.show_problem(str(error))

    def _begin(self, task: str, arms: Sequence[Arm], each: int) -> None:
        """Draw the order and begin."""
        root = self._facts.root
        assert root is not None
        facts = self._facts

        def open_new() -> Blind:
            plan = draw_plan(task, arms, blocks=each)
            plan = replace(plan, world=facts.world, policy=facts.policy, fingerprint=facts.fingerprint)
            return Blind(new_folder(root, task), plan)

        self._open(open_new)

    def _continue(self, folder: Path) -> None:
        """Continue a comparison that is not finished."""
        facts = self._facts

        def open_again() -> Blind:
            blind = Blind(folder)
            try:
                blind.check_conditions(world=facts.world, fingerprint=facts.fingerprint)
            except FrsError:
                blind.close()
                raise
            return blind

        self._open(open_again)

    def _open(self, make: Callable[[], Blind]) -> None:
        if reason := self.attempts.why_not_begin() or self._others():
            self._on_setup_failed(reason)
            return
        try:
            # A few small files.
            blind = make()
            blind.check_arms()
        except FrsError as error:
            self._on_setup_failed(error)
            return
        if self.setup is not None:
            self.setup.accept()
        self._last = blind.folder
        self.attempts.compare(blind)
        self._show_drive()

    # --- while it runs ------------------------------------------------------------------------------------

    def ask_reason(self) -> None:
        """Ask why the last attempt does not count."""
        blind = self.blind
        if blind is None or not blind.state.attempts:
            self._say("There is no attempt to exclude", "warn")
            return
        if self.attempts.is_open:
            self._say("An attempt is under way; label or discard it first", "warn")
            return
        last = blind.state.attempts[-1]
        self.attempts.pause("an attempt is being excluded")
        box = self.reason = QtWidgets.QInputDialog(self._window)
        box.setWindowTitle("Exclude the last attempt")
        box.setLabelText(
            f"Why does attempt {last.number + 1} ({last.outcome.value}) not count? It is repeated. Leave this empty to have it count."
        )
        box.setTextValue(last.excluded)
        box.setMinimumWidth(theme.px(520))
        box.textValueSelected.connect(lambda text: self._exclude(last.number, text))
        box.finished.connect(self._forget_reason)
        box.open()

    def _forget_reason(self, _result: int) -> None:
        self.reason = None

    def _exclude(self, number: int, reason: str) -> None:
        blind = self.blind
        if blind is None:
            return
        try:
            blind.exclude(number, reason)
        except FrsError as error:
            self._on_failed(str(error))
            return
        words = f"does not count: {reason.strip()}" if reason.strip() else "counts"
        self._say(f"Attempt {number + 1} {words}", "info")
        self.attempts.ask_again()

    def _on_labelled(self, _name: str, _outcome: object, number: int) -> None:
        if (blind := self.attempts.blind) is not None:
            label = BlindLabel(blind, self.library, number, changed=self.attempts.ask_again, say=self._say)
            self._undo.push(label)

    def stop(self) -> None:
        """Stop after the attempt in progress; it can continue later."""
        if self.blind is None:
            self._say("No comparison is running", "warn")
        else:
            self.attempts.stop()

    def _on_stopped(self) -> None:
        self._end("The comparison is stopped and stays blinded; Train, Blinded comparison continues it")

    def _on_completed(self) -> None:
        self._end("All attempts of the comparison are done", "good")

    def _on_failed(self, text: str) -> None:
        self._end(text, "bad")

    def _end(self, text: str, tone: str = "info") -> None:
        blind = self.blind
        if blind is None:
            return
        self.attempts.end()
        blind.close()
        self._say(text, tone, ("Results", self.show_results))

    # --- results ------------------------------------------------------------------------------------------

    def show_results(self) -> None:
        """Show the results of the comparison that is being made, or was made last."""
        root = self._facts.root
        folder = self._last
        if folder is None and root is not None:
            folder = next((folder for folder, _ in sound(list_blind(root))), None)
        if folder is None:
            self._say("There is no comparison yet; Train, Blinded comparison begins one", "warn")
        else:
            self._show(folder)

    def _show(self, folder: Path) -> None:
        self._shown = folder
        self.attempts.pause("the results are shown")
        if self.setup is not None:
            self.setup.reject()
        dialog = self.results = ResultsDialog(self._window)
        dialog.unblind_asked.connect(self._unblind)
        dialog.export_asked.connect(self._export)
        dialog.finished.connect(self._forget_results)
        self._fill()
        dialog.open()

    def _forget_results(self, _result: int) -> None:
        self.results = None

    def _fill(self) -> None:
        if self.results is None or self._shown is None:
            return
        try:
            blind = Blind(self._shown, is_read_only=True)
        except FrsError as error:
            self.results.said.setText(str(error))
            return
        is_running = self.blind is not None and self.blind.folder == self._shown
        why_not = "An attempt is under way; label or discard it first" if is_running and self.attempts.is_open else ""
        self.results.show_results(markdown_of(blind), is_unblinded=blind.state.is_unblinded, why_not=why_not)

    def _unblind(self) -> None:
        """Name the policies of the comparison that is shown, and end it."""
        folder = self._shown
        assert folder is not None
        running = self.blind
        if running is not None and self.attempts.is_open:
            self._fill()
            return
        try:
            if running is not None and running.folder == folder:
                running.unblind()
                self._end("The comparison is unblinded")
            else:
                with Blind(folder) as blind:
                    blind.unblind()
        except FrsError as error:
            self._say(str(error), "bad")
        self._fill()

    def _export(self) -> None:
        if self._shown is None or self.results is None:
            return
        try:
            export(Blind(self._shown, is_read_only=True), self._shown)
        except FrsError as error:
            self.results.said.setText(str(error))
        else:
            self.results.said.setText(f"comparison.json and comparison.md are in {self._shown}")

    # --- end ----------------------------------------------------------------------------------------------

    def shut(self) -> None:
        """Close dialogs, jobs and the comparison; it can continue in the next run."""
        for dialog in (self.setup, self.results, self.reason):
            if dialog is not None:
                dialog.reject()
        for job in self.findChildren(Job):
            job.close(5.0)
        self.attempts.shut()
        if self.attempts.blind is not None:
            self.attempts.blind.close()
        self.library.close()


def offered(root: Path, *, tasks: tuple[str, ...], fingerprint: str) -> Offered:
    """Return what can be compared below a recording root: the generalist, its saved noise policies, and the versions of its practices.

    Args:
        root: recording root.
        tasks: of the world; empty = recorded instructions are offered.
        fingerprint: of the generalist.
    """
    arms = [Arm("Base policy", BASE)]
    for path, metadata in list_saved(root / "learned"):
        if metadata.policy_fingerprint == fingerprint and find_learner(metadata.kind).acts is Acts.NOISE:
            title = ", ".join((metadata.name or path.name, *map(in_words, metadata.tasks)))
            arms.append(Arm(title, metadata.kind, str(path), metadata.weights_sha256))
    for record in list_practices(root / "practice"):
        for point in record.curve:
            folder = version_folder(record.folder, point.episodes)
            try:
                arm = learned_arm(folder)
                is_noise = find_learner(arm.method).acts is Acts.NOISE
            except FrsError:
                # Damaged, or of a learner that is not installed: Practise says so.
                continue
            if is_noise and record.fingerprint in ("", fingerprint) and all(a.digest != arm.digest for a in arms):
                arms.append(replace(arm, title=policy_name(folder)))
    if not tasks:
        spoken = [i.instruction for i in EpisodeStore(root).list() if i.instruction]
        return Offered(tuple(arms), (), sound(list_blind(root)), tuple(dict.fromkeys(reversed(spoken))))
    return Offered(tuple(arms), tasks, sound(list_blind(root)))
