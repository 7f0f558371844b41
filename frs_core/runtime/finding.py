"""The result of a check."""

import enum
from dataclasses import dataclass


class Level(enum.Enum):
    """Severity of a finding."""

    OK = "ok"
    NOTE = "note"
    """Something optional is absent."""
    WARNING = "warning"
    """It works, but not properly."""
    FAILURE = "failure"
    """Something that was requested cannot work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One result, shown as one line."""

    level: Level
    subject: str
    """What was checked, in one or two words."""
    text: str
    """What was found."""
    fix: str = ""
    """How to fix it; never empty for warnings and failures."""
