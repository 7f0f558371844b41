"""Counts in texts: one of a thing is singular everywhere, because every text takes its nouns from one function."""

import re
from pathlib import Path

import pytest

from frs_core.counts import count_of, counted

ROOT = Path(__file__).parents[2]
NOUNS = "episodes|chunks|attempts|failures|warnings|successes|scenes|workers"
ALWAYS_SEVERAL = {
    "frs_core/episodes/store.py": "several names match",
    "frs_core/learning/table.py": "of a table's rows",
    "frs_core/learning/dsbc.py": "of a table's rows",
    "frs_core/evaluation/attended.py": "of a table's rows",
    "frs_core/evaluation/repeats.py": "more than a limit",
    "frs_core/evaluation/methods.py": "not a number",
    "frs_core/commands/episodes.py": "several names match",
    "frs_core/learning/request.py": "invalid numbers",
    "app/views/practise/start.py": "the learner's usual number",
}
"""Files with counts that are never one, or not a count, and why."""


def test_one_is_singular_and_none_is_plural() -> None:
    assert [counted(n, "chunk") for n in (0, 1, 2)] == ["0 chunks", "1 chunk", "2 chunks"]
    assert [counted(n, "success", "successes") for n in (0, 1, 2)] == ["0 successes", "1 success", "2 successes"]


def test_no_text_writes_a_plural_behind_a_count_by_hand() -> None:
    by_hand = re.compile(rf"f\"[^\"]*\{{[^{{}}:]+\}} ({NOUNS})\b")
    found = {
        f"{file.relative_to(ROOT)}: {line.strip()}"
        for folder in ("app", "frs_core")
        for file in (ROOT / folder).rglob("*.py")
        if str(file.relative_to(ROOT)) not in ALWAYS_SEVERAL
        for line in file.read_text().splitlines()
        if by_hand.search(line)
    }
    assert not found


@pytest.mark.parametrize("text", ["", "²", "１５", "١٥", "+1", "-1", " 1", "1_0", "1.0", "9" * 5000])
def test_what_is_not_written_in_ascii_digits_is_no_count(text: str) -> None:
    assert count_of(text) is None
    assert (count_of("0"), count_of("007"), count_of("15")) == (0, 7, 15)
