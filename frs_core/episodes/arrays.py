"""Arrays of one episode, read when asked for, and never wrong without a word.

Problem: reading must be lazy (an episode opens in milliseconds) and every damage must be named. Idea: opening checks sizes
and metadata of all files; a read looks at the touched chunk files first, lets Zarr's `crc32c` codec check their bytes, and
on any failure finds the damaged file through the table.

Example: `arrays["steps/q"]` is a read-only `[N, 7]` array; `arrays.slice("images/left/data", 0, 15000)` reads one picture.

Any one thread per object.
"""

from pathlib import Path
from typing import Any

import numpy as np

from frs_core.episodes.integrity import corrupt, read_file_table, verify_content, verify_metadata, verify_sizes
from frs_core.errors import EpisodeCorrupt


class EpisodeArrays:
    """Reads the arrays below an episode's folder."""

    def __init__(self, folder: Path) -> None:
        """Check the folder's files.

        Raises:
            EpisodeCorrupt: a file is missing, has another length, or its metadata changed.
        """
        self._folder = folder
        self._table = read_file_table(folder)
        verify_metadata(folder, self._table)
        self._open: dict[str, Any] = {}
        self._loaded: dict[str, np.ndarray] = {}

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(size for size, _ in self._table.values())

    def __getitem__(self, name: str) -> np.ndarray:
        """Return a whole array, kept for the next time; read-only.

        Raises:
            EpisodeCorrupt: a file of it is damaged.
        """
        if name not in self._loaded:
            array = self._array(name)
            self._check_files(name, None)
            data = self._read(name, lambda: np.asarray(array[...]))
            data.setflags(write=False)
            self._loaded[name] = data
        return self._loaded[name]

    def slice(self, name: str, start: int, stop: int) -> np.ndarray:
        """Return part of a flat array.

        Raises:
            EpisodeCorrupt: a touched file is damaged.
        """
        array = self._array(name)
        if not 0 <= start <= stop <= array.shape[0]:
            raise corrupt(self._folder, f"'{name}' has {array.shape[0]} elements, {start}..{stop} are pointed at")
        self._check_files(name, range(start // array.chunks[0], max(start, stop - 1) // array.chunks[0] + 1))
        return self._read(name, lambda: np.asarray(array[start:stop]))

    def bytes_at(self, name: str, index: int) -> bytes:
        """Return one byte string of a flat array with `<name>_offsets`. Raises EpisodeCorrupt."""
        offsets = self[f"{name}_offsets"]
        return self.slice(name, int(offsets[index]), int(offsets[index + 1])).tobytes()

    def texts(self) -> list[str]:
        """Return the episode's table of texts. Raises EpisodeCorrupt."""
        import json

        def read() -> list[str]:
            document = json.loads((self._folder / "texts" / "zarr.json").read_bytes())
            return [str(t) for t in document["attributes"]["texts"]]

        return self._read("texts", read)

    def verify(self) -> None:
        """Read every byte. Raises EpisodeCorrupt at the first damaged file."""
        verify_content(self._folder, self._table, self._table)

    def _array(self, name: str) -> Any:
        import zarr

        if name not in self._open:
            if f"{name}/zarr.json" not in self._table:
                raise corrupt(self._folder, f"there is no array '{name}'")
            self._open[name] = self._read(name, lambda: zarr.open_array(self._folder / name, mode="r", zarr_format=3))
        return self._open[name]

    def _check_files(self, name: str, chunks: range | None) -> None:
        """Check lengths first: Zarr answers a lost chunk file with fill values."""
        paths = [f"{name}/c/{i}" for i in chunks] if chunks is not None else list(self._files_of(name))
        verify_sizes(self._folder, self._table, [p for p in paths if p in self._table])

    def _files_of(self, name: str) -> list[str]:
        return [path for path in self._table if path.startswith(f"{name}/")]

    def _read(self, name: str, read: Any) -> Any:
        try:
            return read()
        except EpisodeCorrupt:
            raise
        except Exception as error:
            # Whatever Zarr, a codec or JSON made of it: the table knows which file is not what was written.
            verify_content(self._folder, self._table, self._files_of(name))
            raise corrupt(self._folder, f"'{name}' cannot be read ({type(error).__name__}: {error})") from error
