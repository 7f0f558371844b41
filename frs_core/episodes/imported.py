"""Which recordings of somebody else are in a store already, so that an import that is started again continues.

    earlier = EarlierImports(store)
    if name := earlier.find(source): ...                 # -> "20260420T141109Z_01GYF...": imported before

Problem: an import that was interrupted is started again, and must not make what it made before a second time. Idea: an imported episode keeps
the SHA-256 of what it was made from in the options of its world; that finds it again, in the bin too, whatever the folder is called by then.
An import that a crash cut short counts for nothing: its source is imported whole, and a remark names what is left of it. Of several recordings,
one that cannot be imported is reported, and the rest continues.

Any thread.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from frs_core.counts import counted
from frs_core.episodes.recovery import unfinished
from frs_core.episodes.store import EpisodeStore
from frs_core.errors import EpisodeError, EpisodeUnconfirmed, EpisodeUnwritten, StoreLocked

OF_THE_STORE = (EpisodeUnconfirmed, EpisodeUnwritten, StoreLocked)
"""Errors after which an import does not go on, since what comes next would meet them as well."""

NO_INSTRUCTION = "no instruction is stated: bin this episode and import again with --instruction TEXT --again"
"""Remark of an episode whose source states none."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did."""

    names: tuple[str, ...]
    """The new episodes."""
    earlier: tuple[str, ...] = ()
    """Episodes that earlier imports made of the same recordings, which were not made again."""
    failures: tuple["NotImported", ...] = ()
    """What could not be imported; the rest was."""


@dataclass(frozen=True, slots=True)
class NotImported:
    """A recording of which no episode was made."""

    what: str
    """It is, such as "episode 3" or a folder."""
    error: EpisodeError


def import_each(recordings: Iterable[tuple[str, Callable[[], Imported]]]) -> Imported:
    """Import recordings one by one; one that fails is reported in the result, and the rest continues until the store itself refuses.

    Args:
        recordings: what each is ("episode 3"), and what imports it.
    Raises:
        EpisodeError: the store refused the first of them.
    """
    names, earlier, failures = list[str](), list[str](), list[NotImported]()
    for what, act in recordings:
        try:
            made = act()
        except OF_THE_STORE as error:
            if not (names or failures):
                raise
            failures.append(NotImported(f"{what} and all after it", error))
            break
        except EpisodeError as error:
            failures.append(NotImported(what, error))
        else:
            names += made.names
            earlier += made.earlier
    return Imported(tuple(names), tuple(earlier), tuple(failures))


def raise_first(made: Imported) -> None:
    """Raise what the first failure was, with how many there were and what is kept; nothing where there was none."""
    if made.failures:
        first = made.failures[0].error
        more = f" So for {counted(len(made.failures), 'recording')} in all." if len(made.failures) > 1 else ""
        kept = f" Imported and kept: {counted(len(made.names), 'episode')}." if made.names else ""
        raise type(first)(f"{first}{more}{kept}") from first


class EarlierImports:
    """The imported episodes of a store and of its bin, by what they were made from, as they were when this was made."""

    def __init__(self, store: EpisodeStore) -> None:
        """Read a store's lists. Raises StoreLocked where another program records into it."""
        infos = [i for i in (*store.list(binned=True), *store.list()) if i.source]
        self._whole = {i.source: i.name for i in infos if not i.was_recovered}
        recovered = [i for i in infos if i.was_recovered and not i.is_binned]
        self._cut = {i.source: (i.name, f"frs episodes bin {i.name}") for i in recovered}
        self._cut |= {u.source: (u.name, f"frs episodes recover {u.name} --bin") for u in unfinished(store) if u.source}

    def find(self, source: str) -> str | None:
        """Return the episode that was made of a source, None where there is none.

        Args:
            source: SHA-256, hexadecimal.
        """
        return self._whole.get(source)

    def remarks(self, source: str) -> list[str]:
        """Return what is to be said of a source that is imported now."""
        if source not in self._cut:
            return []
        name, command = self._cut[source]
        return [f"an earlier import of it was cut off and left {name}: bin that one with `{command}`"]
