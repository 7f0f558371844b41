"""Counts in texts, to be shown and read.

Example: `counted(1, "episode")` is "1 episode", `counted(2, "success", "successes")` is "2 successes".
"""


def counted(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun.

    Args:
        count: how many.
        one: the noun of a single one.
        many: the noun of none and of several; empty = `one` with an s.
    """
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def count_of(text: str) -> int | None:
    """Return the count that a text is in ASCII digits; None for any other text, "²" and "１" among them, which `str.isdigit` takes for digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
