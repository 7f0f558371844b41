"""What holds for every test: shapes and types of `frs_core` are checked, and what was not run is listed at the end.

The checks come from `--jaxtyping-packages` in pyproject.toml; worker processes that a test starts go without.
"""

import collections
from collections.abc import Sequence
from typing import Any

import hypothesis
import jaxtyping
import pytest

# No example has a time limit: how fast a machine is says nothing about what it finds.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

COMMANDS = {
    "gpu": 'make test ARGS="-m gpu"    (with a CUDA device)',
    "hw": 'make test ARGS="-m hw"    (with the hardware)',
    "gl": 'FRS_TEST_GL=1 make test ARGS="-m gl"',
    "slow": 'make test ARGS="-m slow"',
    "": "make test",
}
"""Marker -> how its tests are run; the empty one stands for tests without such a marker."""

_DESELECTED = pytest.StashKey[collections.Counter[str]]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Switch the checks off for a test that is marked `unchecked`."""
    jaxtyping.config.update("jaxtyping_disable", item.get_closest_marker("unchecked") is not None)


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count."""
    config.stash[_DESELECTED] = collections.Counter()


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Count tests that the selection leaves out, by marker."""
    for item in items:
        mark = next((m for m in COMMANDS if m and item.get_closest_marker(m)), "")
        item.config.stash[_DESELECTED][mark] += 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand a worker process's count to the process that reports."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["deselected"] = dict(session.config.stash[_DESELECTED])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take a worker process's count; all workers see the same tests."""
    node.config.stash[_DESELECTED] |= collections.Counter(getattr(node, "workeroutput", {}).get("deselected", {}))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Tell what was not run and how it is."""
    deselected, skipped = config.stash[_DESELECTED], terminalreporter.stats.get("skipped", [])
    reasons = collections.Counter(str(report.longrepr[-1]).removeprefix("Skipped: ") for report in skipped)
    if not deselected and not reasons:
        return
    terminalreporter.section("not run")
    for mark, count in deselected.items():
        terminalreporter.line(f"{count:5d} {f'marked {mark}' if mark else 'not selected':14} {COMMANDS[mark]}")
    for reason, count in reasons.items():
        terminalreporter.line(f"{count:5d} {'skipped':14} {reason}")
