"""What the Practise layout says about a practice: where it happens, what it starts from, how it went and why it ended. Pure functions."""

from collections.abc import Sequence

from app.views.practise.practices import learner_title
from app.views.practise.start import Prior, Problem
from frs_core.counts import counted
from frs_core.errors import ConfigError, EpisodeError, FingerprintMismatch, FrsError
from frs_core.learning import LearnerSpec
from frs_core.learning.practice_log import Point
from frs_core.learning.practice_record import PracticeRecord


def place_in_words(*, is_attended: bool, resets_itself: bool) -> str:
    """Return where attempts happen, as a sentence without full stop."""
    if is_attended and resets_itself:
        return "After one start in Drive the attempts follow each other, and you can steer any chunk; nothing moves while it learns"
    if is_attended:
        return "You start every attempt in Drive and can steer any chunk of it; nothing moves while it learns"
    return "Practice runs in the background, in separate worlds; nothing moves in Drive"


def start_in_words(row: LearnerSpec | None, prior: Prior) -> str:
    """Return what a new practice starts from, as a sentence without full stop."""
    starts = row is not None and row.starts_from_recordings
    return prior.sentence if starts else "Starts from the policy alone"


def record_in_words(record: PracticeRecord) -> str:
    """Return what was practised and how far, as a sentence without full stop."""
    title = f"{record.task.replace('_', ' ')}, {learner_title(record.learner)}"
    if not record.learner:
        return f"{title}: unreadable"
    state = "finished" if record.is_finished else "stopped"
    return f"{title}: {state} after {counted(len(record.attempts), 'attempt')}, {record.seconds / 60.0:.0f} min"


def success_in_words(best: Point, attempts: Sequence[bool]) -> str:
    """Return how well a practice did: its best version on evaluation scenes, or else its attempts."""
    if best.scenes:
        return f"{best.successes} of {counted(best.scenes, 'scene')}"
    return f"{sum(attempts)} of {counted(len(attempts), 'attempt')}"


def problem_of(error: FrsError | None) -> Problem:
    """Return why a practice ended and what helps, for people."""
    text = str(error).rstrip(".")
    if isinstance(error, (ConfigError, FingerprintMismatch)):
        return Problem(text, "practise.new", "New practice")
    if isinstance(error, EpisodeError):
        return Problem(text, "layout.review", "Open Review")
    return Problem(text, "practise.start", "Continue")
