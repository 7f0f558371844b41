"""What a check found."""

import enum
from dataclasses import dataclass


class Level(enum.Enum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"
    """Something optional is absent."""
    WARNING = "warning"
    """Works, but not as it should."""
    FAILURE = "failure"
    """Something that was asked for cannot work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line."""

    level: Level
    subject: str
    """What was looked at, one or two words."""
    text: str
    """What was found."""
    fix: str = ""
    """What to do; never empty for warnings and failures."""
