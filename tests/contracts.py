"""Which contract class runs for which row of a registry: `@covers("world", "tabletop")` on a test class says so."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from frs_core import devices, policies, worlds
from frs_core.choosers import registry as choosers
from frs_core.learning import registry as learners
from frs_core.testing import ChooserContract, FlowPolicyContract, InputDeviceContract, LearnerContract, WorldContract

C = TypeVar("C", bound=type)
CONTRACTS: Mapping[str, type] = {
    "world": WorldContract,
    "policy": FlowPolicyContract,
    "learner": LearnerContract,
    "device": InputDeviceContract,
    "chooser": ChooserContract,
}
ROWS: Mapping[str, Iterable[str]] = {
    "world": worlds.KNOWN,
    "policy": policies.KNOWN,
    "learner": learners.KNOWN,
    "device": devices.KNOWN,
    "chooser": choosers.KNOWN,
}
WITHOUT = {("chooser", "person"): "a person picks through the session's commands; no class chooses"}
"""Rows that no contract class can run for, and why."""
COVERED: dict[tuple[str, str], type] = {}


def covers(kind: str, name: str) -> Callable[[C], C]:
    """Return a decorator that notes a contract class as the one of a row."""

    def mark(cls: C) -> C:
        assert issubclass(cls, CONTRACTS[kind]), f"{cls.__name__} is not a {CONTRACTS[kind].__name__}."
        assert (kind, name) not in COVERED or COVERED[kind, name].__qualname__ == cls.__qualname__
        COVERED[kind, name] = cls
        return cls

    return mark


def uncovered(rows: Mapping[str, Iterable[str]] = ROWS) -> list[str]:
    """Return a sentence for every row without a contract class, and for every note about a row that does not exist."""
    named = {(kind, name) for kind, names in rows.items() for name in names}
    missing = [
        f"No contract class runs for {kind} '{name}'. Add a test class that inherits from "
        f"frs_core.testing.{CONTRACTS[kind].__name__}, marked @covers({kind!r}, {name!r}), to tests/core/test_contracts.py."
        for kind, name in sorted(named - COVERED.keys() - WITHOUT.keys())
    ]
    return missing + [
        f"There is no {kind} '{name}'. Remove it from the tests' contracts."
        for kind, name in sorted((COVERED.keys() | WITHOUT.keys()) - named)
    ]
