"""Who can pick, by name: one row each, own ones and those of installed packages (entry points `frs_core.choosers`).

The knob "who drives", its actions, the reasons for what is greyed out, `--advisor` and the session's choosers are made from these
rows. A row's `make` says from a `Setting` whether this run has such a chooser.

Example: `make_choosers(Setting(options={"vlm": "http://127.0.0.1:8000/v1"}))` has the model, and the world's own script.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from frs_core.choosers.base import Chooser
from frs_core.events import Driver
from frs_core.runtime.registry import all_rows, find_row, plugins, resolve

GROUP = "frs_core.choosers"


@dataclass(frozen=True, slots=True)
class Setting:
    """What choosers can be made from."""

    boundary_state: Callable[[], bytes | None] = lambda: None
    """The simulated world's state at the present chunk boundary; None where it is not known."""
    world_operator: Callable[[], str] = lambda: ""
    """`module:Class` of the world's own operator (`WorldSpec.remote_operator`); empty until the world is up, or without one."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """As given at the start: `script`, `vlm`, `vlm_model`, and what installed choosers want (`--chooser-options`)."""


@dataclass(frozen=True, slots=True)
class ChooserSpec:
    """What is known about a chooser without making it: its row."""

    id: str
    """As whom its picks are recorded."""
    title: str
    """For the knob; a word."""
    tooltip: str
    why_not: str
    """Why it cannot drive, and the fix, one sentence."""
    picked: str
    """Beginning of "… picked left", for the state bar."""
    make: str = ""
    """`module:function` of a `Setting` that returns the chooser, or None where this run has none; empty = the session's own."""
    key: str = ""
    """Default key."""

    @property
    def driver(self) -> Driver:
        """Its id as the session knows it."""
        return Driver(self.id)


KNOWN: Mapping[str, ChooserSpec] = {
    row.id: row
    for row in (
        ChooserSpec(
            id="person",
            title="Person",
            tooltip="Nothing is picked unless you pick it",
            why_not="",
            picked="You picked",
            key="key:Alt+1",
        ),
        ChooserSpec(
            id="learned",
            title="★ Learned",
            tooltip="The learned noise policy picks; your keys override",
            why_not="No learned candidate; train a noise policy and use it first",
            picked="The noise policy picked",
            key="key:Alt+2",
        ),
        ChooserSpec(
            id="scripted",
            title="Script",
            tooltip="Simulation: the scripted operator picks; your keys override",
            why_not="No script fits this world; start with --script FILE, or on the embedded world",
            picked="The script picked",
            make="frs_core.choosers.scripted:from_setting",
            key="key:Alt+3",
        ),
        ChooserSpec(
            id="vlm",
            title="VLM",
            tooltip="The vision-language model picks; your keys override",
            why_not="No vision-language model is set up; start with --vlm http://…/v1, or set FRS_VLM_URL",
            picked="The vision-language model picked",
            make="frs_core.choosers.vlm:from_setting",
            key="key:Alt+4",
        ),
    )
}
"""The product's own rows, in the order of the knob."""


def choosers() -> Mapping[str, ChooserSpec]:
    """Return all rows by id, the product's own first; an installed one that cannot be imported is left out and logged."""
    return all_rows("chooser", ChooserSpec, KNOWN, plugins(GROUP))


def find_chooser(name: str) -> ChooserSpec:
    """Return a row by id.

    Raises:
        ConfigError: unknown chooser, or an installed one that cannot be imported.
    """
    return find_row("chooser", ChooserSpec, name, KNOWN, plugins(GROUP))


def make_choosers(setting: Setting) -> dict[Driver, Chooser]:
    """Return the choosers that this run has; whether each can drive now, it says itself (`Chooser.why_not`).

    Raises:
        ConfigError: an option is not usable.
    """
    made = {row.driver: resolve("chooser", row.make, {})(setting) for row in choosers().values() if row.make}
    return {driver: chooser for driver, chooser in made.items() if chooser is not None}
