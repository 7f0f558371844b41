"""How long a test waits for what has to happen."""

LONG_S = 500.0
"""Seconds; only a deadlock takes this long on a busy machine. Below the suite's own time-out (pyproject.toml), so that the
test itself says what it waited for, and ends the processes that it started."""
LONG_MS = 1000 * int(LONG_S)
