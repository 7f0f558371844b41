"""Every text of the cockpit and of the session, in one file to be read as a whole.

`tests/fixtures/cockpit_texts.txt` is made from the code: the rows of actions, choosers, learners and devices, then every string of `app` and of the
rooms of `frs_core` whose words reach the screen that reads as words (`tests/texts.py`). After a change of texts, run this file with
FRS_UPDATE_TEXTS=1 and read the difference in the commit.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping

import pytest

from app.actions import ACTIONS, Action
from frs_core.choosers.registry import KNOWN as CHOOSERS
from frs_core.devices import KNOWN as DEVICES
from frs_core.devices import load_device
from frs_core.learning.registry import KNOWN as LEARNERS
from tests.texts import FIXTURES, ROOT, check_snapshot, differences, worded

SNAPSHOT = "cockpit_texts.txt"
FOLDERS = ("app", "frs_core/session", "frs_core/robot", "frs_core/choosers", "frs_core/learning")
FILES = ("frs_core/doctor/arming.py", "frs_core/events.py")


def rows(actions: Mapping[str, Action]) -> Iterator[str]:
    """Yield what is read from rows: one line each."""
    yield "# Actions: menu, text, tooltip, default controls, layout"
    for a in actions.values():
        yield " | ".join((a.menu, f"{a.glyph} {a.text}".strip(), a.tooltip, " ".join(a.controls), a.scope))
    yield "\n# Who drives: title, tooltip, why not, start of the sentence about a pick"
    for c in CHOOSERS.values():
        yield " | ".join((c.title, c.tooltip, c.why_not, c.picked))
    yield "\n# Learners: title, summary, details"
    for learner in LEARNERS.values():
        yield " | ".join((learner.title, learner.summary, learner.details))
    yield "\n# Devices: title, prefix"
    for kind, path in DEVICES.items():
        device = load_device(kind, path, others=())
        yield f"{device.title} | {device.prefix}"


def sources() -> Iterator[tuple[str, str]]:
    """Yield (path, source) of the files whose strings are shown."""
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    for path in sorted([*found, *(ROOT / file for file in FILES)]):
        yield str(path.relative_to(ROOT)), path.read_text()


@functools.cache
def file_texts(path: str, source: str) -> str:
    """Return the texts of a file in alphabetical order, under its path; empty if there are none."""
    found = sorted(set(worded(source)))
    return "\n".join((f"# {path}", *found)) if found else ""


def said(actions: Mapping[str, Action], *, changed: Mapping[str, str] | None = None) -> str:
    """Return all texts.

    Args:
        actions: the cockpit's; those of choosers that other packages bring are left out.
        changed: path -> source, in place of what is in the file.
    """
    foreign = {row.id for row in actions.values() if row.id.startswith("driver.")} - {f"driver.{c}" for c in CHOOSERS}
    files = [file_texts(path, (changed or {}).get(path, source)) for path, source in sources()]
    parts = ["\n".join(rows({k: v for k, v in actions.items() if k not in foreign})), *filter(None, files)]
    return "\n\n".join(parts) + "\n"


def test_the_texts_of_cockpit_and_session_are_those_that_were_read() -> None:
    check_snapshot(SNAPSHOT, said(ACTIONS))


def test_a_changed_tooltip_is_noticed() -> None:
    there = (FIXTURES / SNAPSHOT).read_text()
    for name, row in ACTIONS.items():
        new, _ = differences(there, "\n".join(rows({name: dataclasses.replace(row, tooltip="Zebra")})))
        assert len(new) == 1, name
        assert "Zebra" in new[0]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("app/views/widgets.py", 'label = QLabel("Zebra crossing")'),
        ("app/views/toasts.py", 'self.show(f"Zebra {name}", "bad")'),
        ("app/views/train/page.py", 'WORDS = {Stage.FIT: "Zebra"}'),
        ("frs_core/session/engine.py", 'return refuse("Zebra first")'),
    ],
)
def test_a_new_text_is_noticed_wherever_it_stands(path: str, text: str) -> None:
    there = (FIXTURES / SNAPSHOT).read_text()
    new, _ = differences(there, said(ACTIONS, changed={path: (ROOT / path).read_text() + f"\n{text}\n"}))
    assert len(new) == 1
    assert "Zebra" in new[0]


def test_what_nobody_reads_is_left_out() -> None:
    source = '''"""A docstring."""
X: "A type" = 1
_log.info("Seen in the log")
button.setObjectName("A name")
key = "drive.hold"
'''
    assert list(worded(source)) == []
