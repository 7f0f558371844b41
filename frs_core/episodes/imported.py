"""Which recordings of somebody else are in a store already, so that an import that is started again continues.

    earlier = EarlierImports(store)
    if name := earlier.find(source): ...                 # -> "20260420T141109Z_01GYF...": imported before

Problem: an import that was interrupted is started again, and must not make what it made before a second time. Idea: an imported episode keeps
the SHA-256 of what it was made from in the options of its world; that finds it again, in the bin too, whatever the folder is called by then.
An import that a crash cut short counts for nothing: its source is imported whole, and a remark names what is left of it.

Any thread.
"""

from dataclasses import dataclass

from frs_core.episodes.recovery import unfinished
from frs_core.episodes.store import EpisodeStore

NO_INSTRUCTION = "no instruction is stated: bin this episode and import again with --instruction TEXT --again"
"""Remark of an episode whose source states none."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did."""

    names: tuple[str, ...]
    """The new episodes."""
    earlier: tuple[str, ...] = ()
    """Episodes that earlier imports made of the same recordings, which were not made again."""


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
