"""The practice that runs: its processes, what they report, and the labels of its attempts. GUI thread.

The page decides what is practised and shows what is heard; this starts and stops it.
"""

import os
from collections.abc import Callable
from pathlib import Path

from app.qt import QtCore, Signal
from app.views.practise.attempt_labels import AttemptLabels
from app.views.practise.attempts import Attempts
from frs_core.evaluation.practice_job import PracticeJob
from frs_core.learning import JobState, TrainRequest
from frs_core.steering.policy_spec import PolicySpec

POLL_MS = 120
MOST_ACTORS = 4
"""Processes that drive; the world and the window need some cores too. Guess."""


class Running(QtCore.QObject):
    """Starts a practice, hears of it, and stops it; one at a time.

    Args:
        attempts: those that a person starts in Drive.
        labels: of these.
        parent: owns it.
    """

    heard = Signal(object)
    """The newest PracticeNews of the job."""
    ended = Signal(object)
    """The job, done or failed, and closed."""

    def __init__(self, attempts: Attempts, labels: AttemptLabels, parent: QtCore.QObject) -> None:
        super().__init__(parent)
        self._attempts, self._labels = attempts, labels
        self.job: PracticeJob | None = None
        self.make_job: Callable[[TrainRequest, Path, PolicySpec | None], PracticeJob] = _job
        self.is_stopping = False
        """A person has asked it to stop, and the attempt in progress is not over."""
        self._timer = QtCore.QTimer(self)
        self._timer.timeout.connect(self.poll)
        attempts.labelled.connect(lambda *label: self.job is not None and labels.add(self.job.folder, *label))

    @property
    def is_on(self) -> bool:
        """Whether a practice runs."""
        return self.job is not None and self.job.state is JobState.RUNNING

    def begin(self, request: TrainRequest, folder: Path, attended: PolicySpec | None) -> None:
        """Start a practice.

        Args:
            request: what to practise.
            folder: of the practice.
            attended: facts about the policy if a person starts the attempts, in Drive; None = in the background.
        """
        self.is_stopping = False
        self.job = self.make_job(request, folder, attended)
        self.job.start()
        self._timer.start(POLL_MS)
        if attended is not None:
            self._attempts.begin(self.job)

    def stop(self) -> None:
        """Stop after the attempt in progress."""
        assert self.job is not None
        self.is_stopping = True
        self._attempts.stop() if self._attempts.is_on else self.job.cancel()

    def poll(self) -> None:
        """Hear what the processes have reported since."""
        job = self.job
        if job is None:
            return
        if news := job.poll():
            self.heard.emit(news[-1])
            self._attempts.hear(news[-1])
            self._labels.hear(job.folder, news[-1])
        if (job.state is JobState.DONE and job.result is not None) or job.state is JobState.FAILED:
            self._timer.stop()
            self.is_stopping = False
            self._attempts.end()
            job.close()
            self.ended.emit(job)

    def shut(self) -> None:
        """Stop at once; what was practised is kept, and the next run of the cockpit can continue it."""
        self._timer.stop()
        self._attempts.shut()
        if self.job is not None:
            self.job.close()


def _job(request: TrainRequest, folder: Path, attended: PolicySpec | None) -> PracticeJob:
    return PracticeJob(request, folder, actors=max(1, min(MOST_ACTORS, os.cpu_count() or 1)), attended=attended)
