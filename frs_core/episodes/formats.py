"""Other formats an episode can be written to or made from, by name.

Problem: exporters need libraries that few people have. Idea: a name points at a function; nothing is imported before it
is asked for. An exporter is `(episode: Episode, path: Path) -> Path`, with `overwrite: bool` where it can replace a file; an importer is
`(source: Path, store: EpisodeStore) -> Imported`, or the names of what it recorded through `JournalRecorder`, one or a tuple; it takes
`instruction`, `outcome`, `actions`, `arm`, `tool_offset` and `again` where it can use what a person states.

Example: `exporter("mp4")(episode, Path("film.mp4"))`. A new format is one row here, or "module:function" of your own.

Any thread.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from frs_core.episodes.imported import Imported
from frs_core.runtime.registry import call, require_kind, resolve

EXPORTERS: dict[str, str] = {
    "mp4": "frs_core.episodes.export_mp4:export_mp4",
    "droid": "frs_core.episodes.export_droid:export_droid",
    "mcap": "frs_core.episodes.export_mcap:export_mcap",
    "rerun": "frs_core.episodes.export_rerun:export_rerun",
    "lerobot": "frs_core.episodes.export_lerobot:export_lerobot",
    "lerobot-v3": "frs_core.episodes.export_lerobot:export_lerobot_v3",
}
"""Name -> "module:function"."""
COLLECTIONS = frozenset({"droid", "lerobot", "lerobot-v3"})
"""Formats whose path is a data set: several episodes go into one folder."""
IMPORTERS: dict[str, str] = {
    "droid": "frs_core.episodes.import_droid:import_droid_once",
    "lerobot": "frs_core.episodes.import_lerobot:import_lerobot_once",
}
"""Name -> "module:function"."""


def exporter(name: str) -> Callable[..., Path]:
    """Return the function that writes an episode in a format. Raises ConfigError for an unknown or broken one."""
    return _called("export format", name, EXPORTERS, Path)


def importer(name: str) -> Callable[..., Imported | str | tuple[str, ...]]:
    """Return the function that makes episodes from a format. Raises ConfigError for an unknown or broken one."""
    return _called("import format", name, IMPORTERS, Imported, str, tuple)


def _called(kind: str, name: str, known: dict[str, str], *returned: type) -> Callable[..., Any]:
    """Return a format's function, which raises ConfigError where it is none, or returns something else."""
    function = resolve(kind, name, known)

    def act(*args: Any, **options: Any) -> Any:
        made = call(kind, name, function, *args, **options)
        require_kind(kind, name, made, *returned)
        return made

    return act
