"""The choosers by name, one row each: built in, or from installed packages (entry points `frs_core.choosers`).

The control "Who drives", its actions, the reasons why an entry is disabled, `--advisor` and the session's choosers are all
made from these rows. A row's `make` takes a `Setting` and returns the chooser, or None if this run does not have it.

Example: `make_choosers(Setting(options={"vlm": "http://127.0.0.1:8000/v1"}))` returns the model and the world's own script.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from typing_extensions import Doc

from frs_core.choosers.base import Chooser
from frs_core.errors import FrsError
from frs_core.events import Driver
from frs_core.runtime.registry import (
    Option,
    all_rows,
    by_id,
    find_row,
    loose_options,
    plain_options,
    plugins,
    require_words,
    resolve,
    typed_options,
    warn_once,
)

GROUP = "frs_core.choosers"
ChooserOptions = Annotated[dict[str, str] | None, Doc("Options of installed choosers: NAME VALUE ….")]
"""An option of a command: what choosers of installed packages are made with."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a chooser is made from."""

    boundary_state: Callable[[], bytes | None] = lambda: None
    """Returns the state of the simulated world at the current chunk boundary; None if unknown."""
    world_operator: Callable[[], str] = lambda: ""
    """Returns `module:Class` of the world's own operator (`WorldSpec.remote_operator`); empty before the world has started, and for
    a world without one."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """From the command line: `script`, `vlm`, `vlm_model`, and options of installed choosers (`--chooser-options`)."""


@dataclass(frozen=True, slots=True)
class ChooserSpec:
    """A row of the registry: the facts about a chooser that are known before it is made."""

    id: str
    """Recorded with its picks."""
    title: str
    """One word, shown in the control "Who drives"."""
    tooltip: str
    why_not: str
    """Why it cannot drive, and the fix, in one sentence."""
    picked: str
    """Start of the sentence "… picked left" in the state bar."""
    make: str = ""
    """`module:function` that takes a `Setting` and returns the chooser, or None; empty = built into the session."""
    key: str = ""
    """Default key; empty = the cockpit assigns the next free one of Alt+1 to Alt+9."""
    options: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """Option of `--chooser-options` -> annotation, with bounds (`runtime.bounds`) where it is a number. What no row states comes as the
    number, switch or text that it can be read as."""

    def __post_init__(self) -> None:
        """Refuse a row without words to show. Raises ConfigError."""
        require_words("chooser", self.id, id=self.id, title=self.title, tooltip=self.tooltip, picked=self.picked)

    @property
    def driver(self) -> Driver:
        """The id as the session's type."""
        return Driver(self.id)


KNOWN: Mapping[str, ChooserSpec] = by_id(
    "chooser",
    (
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
            why_not="This world has no script; start with --script FILE, or use the embedded world",
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
    ),
)
"""The built-in rows, in the order shown."""


def choosers() -> Mapping[str, ChooserSpec]:
    """Return all rows by id, built-in ones first; a plug-in that cannot be imported is skipped and logged."""
    return all_rows("chooser", ChooserSpec, KNOWN, plugins(GROUP))


def find_chooser(name: str) -> ChooserSpec:
    """Return a row by id.

    Raises:
        ConfigError: unknown chooser, or a plug-in that cannot be imported.
    """
    return find_row("chooser", ChooserSpec, name, KNOWN, plugins(GROUP))


def typed_chooser_options(
    given: Mapping[str, str] | None, rows: Mapping[str, ChooserSpec] | None = None
) -> dict[str, Option]:
    """Return options given on the command line as the rows that state them want them.

    Args:
        given: option -> word.
        rows: by id; None = all.
    Raises:
        ConfigError: a value of another type, or outside its bounds.
    """
    stated = {o: (row.id, hint) for row in (rows or choosers()).values() for o, hint in row.options.items()}
    found = loose_options(given)
    for option in found.keys() & stated.keys():
        name, hint = stated[option]
        own = plain_options({option: (given or {})[option]})
        found |= typed_options("chooser", name, None, own, hints={option: hint})
    return found


def make_choosers(setting: Setting) -> dict[Driver, Chooser]:
    """Return the choosers of this run. `Chooser.why_not` says whether each of them can drive now.

    A chooser of an installed package that fails otherwise than by a `ConfigError`, or that would record its picks as another's, is left
    out and logged.

    Raises:
        ConfigError: an option is invalid.
    """
    made: dict[Driver, Chooser] = {}
    for row in choosers().values():
        if row.make and (chooser := _made(row, setting)) is not None:
            made[row.driver] = chooser
    return made


def make_chooser(row: ChooserSpec, setting: Setting) -> Chooser | None:
    """Return the chooser of a row, or None if this run does not have it.

    Raises:
        ConfigError: an option is invalid, or the row's function cannot be imported.
        TypeError: it makes something else, or a chooser with the `driver` of another row.
    """
    chooser = resolve("chooser", row.make, {})(setting)
    if chooser is None:
        return None
    if not isinstance(chooser, Chooser):
        raise TypeError(f"{row.make} returned {type(chooser).__name__}, expected a Chooser or None")
    if chooser.driver is not row.driver:
        raise TypeError(
            f"{type(chooser).__name__} would record its picks as '{chooser.driver.value}'; give it driver = Driver('{row.id}')"
        )
    return chooser


def _made(row: ChooserSpec, setting: Setting) -> Chooser | None:
    try:
        return make_chooser(row, setting)
    except FrsError:
        raise
    except Exception as error:  # Somebody else's code may raise anything; the others must still drive.
        if row.id in KNOWN:
            raise
        warn_once(
            f"The chooser '{row.id}' cannot be made: {type(error).__name__}: {error}. Correct it, or uninstall its package."
        )
        return None
