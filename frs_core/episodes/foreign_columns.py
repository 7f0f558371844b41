"""Columns of numbers in foreign tables, HDF5 and Parquet; every refusal names the file, the column and, where there is one, the row.

    with open_hdf5(folder / "trajectory.h5") as data:
        q = data.numbers("observation/robot_state/joint_positions", 7)          # [n, 7], float64

Problem: a library converts whatever it finds: complex numbers lose a part, texts become numbers, a link leads to another file. Idea: what
counts as a number is decided in one place, `as_numbers`, and shapes are asked for with the column.

**A real number** is an integer or a floating-point number of any width and byte order; it is read as float64. Complex numbers, truth values,
texts, bytes, times, records, enumerations and objects are none. **A flag** is a truth value, or a number that is 0 or 1.

Any thread; an open file is used by one thread at a time.
"""

import contextlib
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from frs_core.arrays import Array
from frs_core.counts import counted
from frs_core.episodes.export_droid import h5py_module
from frs_core.episodes.stated import Stated, unreadable
from frs_core.errors import EpisodeCorrupt
from frs_core.runtime import image_files
from frs_core.runtime.foreign import MALFORMED, in_line, plain_file, visible

LARGEST_COLUMN = 256 << 20
"""Bytes of one dataset; ten minutes of seven joints take 0.5 MB."""
_MOST_LINKS = 16
"""Links on the way to one dataset. Source: the HDF5 library's own bound, H5L_NUM_LINKS."""
LARGEST_TABLE = 2 << 30
"""Bytes of a Parquet file's columns, unpacked; LeRobot begins another file at 100 MB."""
_NO_NUMBERS = {
    "c": "complex numbers",
    "b": "truth values",
    "S": "bytes",
    "U": "texts",
    "O": "objects",
    "V": "records",
    "M": "dates",
    "m": "durations",
}
"""Kind of a NumPy type -> what its values are."""
_PNG, _PNG_BITS, _PNG_DEPTH = b"\x89PNG\r\n\x1a\n", 24, (b"\x10\x00", b"\x10\x04")
"""How a PNG file begins, where it has its bits per number and its kind of colour, and what depth has there. Source: RFC 2083."""
_FIX = "Write it as floating-point numbers and import again."
_COPY = "Put a whole copy of the file there."


def as_numbers(values: Array, where: str) -> Float[Array, "..."]:
    """Return real numbers as float64.

    Args:
        values: of any type.
        where: the file and the column, for the error.
    Raises:
        EpisodeCorrupt: they are no real numbers.
    """
    is_enum = "enum" in (values.dtype.metadata or {})
    if values.dtype.kind not in "iuf" or is_enum:
        kind = "values of an enumeration" if is_enum else _NO_NUMBERS.get(values.dtype.kind, "values")
        raise EpisodeCorrupt(f"{where} holds {kind} ({_type_name(values.dtype)}), expected real numbers. {_FIX}")
    # A longer float beyond float64's range becomes infinite, which is no number of a row; a NaN that signals becomes one that does not.
    with np.errstate(all="ignore"):
        return np.multiply(values, 1.0, dtype=np.float64)


def as_flags(values: Array, where: str) -> Bool[Array, "..."]:
    """Return flags as truth values. Raises EpisodeCorrupt where one is neither true, false, 0 nor 1."""
    if values.dtype.kind == "b":
        return values
    numbers = as_numbers(values, where)
    if len(bad := np.argwhere((numbers != 0) & (numbers != 1))):
        raise EpisodeCorrupt(
            f"{where} is {numbers[tuple(bad[0])]:g} in row {bad[0][0] if bad.shape[1] else 0}, expected truth values, or 0 and 1. Write it as "
            f"truth values and import again."
        )
    return numbers.astype(bool)


class Hdf5File:
    """The datasets of an open HDF5 file, by path. Links within the file are followed, links to other files are not: a trajectory's data are its own."""

    def __init__(self, file: Any, path: Path) -> None:
        """Wrap an open file.

        Args:
            file: of h5py.
            path: its name, for errors.
        """
        self._file, self._path, self._h5py = file, path, h5py_module()

    def has(self, path: str) -> bool:
        """Return whether there is something at a path. Raises EpisodeCorrupt where the way to it is none."""
        return self._node(path) is not None

    def names(self, path: str) -> list[str]:
        """Return the names in a group; none where there is no group. Raises EpisodeCorrupt where it is a dataset."""
        group = self._node(path)
        if group is None:
            return []
        if not isinstance(group, self._h5py.Group):
            raise EpisodeCorrupt(f"{self.where(path)} is a dataset, expected a group of datasets. {_COPY}")
        with _reading(self.where(path)):
            return sorted(map(str, group.keys()))

    def numbers(self, path: str, *shape: int) -> Float[Array, "..."]:
        """Return a dataset of one entry per row. Raises EpisodeCorrupt where it is missing, no numbers, or of another shape.

        Args:
            path: of the dataset.
            shape: of one entry; none = one number, for which `[n, 1]` is taken as well.
        """
        return self._shaped(as_numbers(self._values(path), self.where(path)), path, shape)

    def flags(self, path: str) -> Bool[Array, " n"]:
        """Return a dataset of one flag per row. Raises as `numbers`."""
        return self._shaped(as_flags(self._values(path), self.where(path)), path, ())

    def values(self, path: str) -> Float[Array, "..."]:
        """Return a dataset of numbers of any shape. Raises EpisodeCorrupt where it is missing or no numbers."""
        return as_numbers(self._values(path), self.where(path))

    def attributes(self) -> dict[str, Any]:
        """Return the file's attributes; one that h5py cannot read is `None`. Raises EpisodeCorrupt where their list is damaged."""
        found: dict[str, Any] = {}
        with _reading(f"'{self._path}', the list of its attributes"):
            names = list(self._file.attrs)
        for name in names:
            try:
                found[visible(name)] = self._file.attrs[name]
            except (OSError, RuntimeError, *MALFORMED):
                found[visible(name)] = None
        return found

    def where(self, path: str) -> str:
        """Return the file and a path in it, for an error."""
        return f"'{self._path}', '{visible(path)}'"

    def _shaped(self, values: Array, path: str, shape: tuple[int, ...]) -> Array:
        if not shape and values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim != 1 + len(shape) or values.shape[1:] != shape:
            wanted = ", ".join(map(str, ("rows", *shape)))
            raise EpisodeCorrupt(
                f"{self.where(path)} has the shape ({', '.join(map(str, values.shape))}), expected ({wanted}). Write it so, with one entry per "
                f"row, and import again."
            )
        return values

    def _values(self, path: str) -> Array:
        node, where = self._node(path), self.where(path)
        if node is None:
            raise EpisodeCorrupt(
                f"'{self._path}' has no dataset '{visible(path)}'. Copy the trajectory again from where it was recorded; one whose recording was "
                f"interrupted cannot be imported."
            )
        if not isinstance(node, self._h5py.Dataset):
            raise EpisodeCorrupt(f"{where} is a group, expected a dataset. {_COPY}")
        with _reading(where):
            if node.shape is None:
                raise EpisodeCorrupt(f"{where} is empty, expected numbers. {_COPY}")
            if node.is_virtual or node.external:
                raise EpisodeCorrupt(f"{where} keeps its numbers in another file. Copy them into this one.")
            if node.nbytes > LARGEST_COLUMN:
                raise EpisodeCorrupt(
                    f"{where} has {node.nbytes} bytes, at most {LARGEST_COLUMN} are read. Export the episode's own rows only."
                )
            return np.asarray(node[()])

    def _node(self, path: str) -> Any:
        """Return what is at a path; None where there is nothing."""
        node, walked, ahead, followed = self._file, "", path.split("/"), 0
        while ahead:
            part = ahead.pop(0)
            if not isinstance(node, self._h5py.Group):
                raise EpisodeCorrupt(
                    f"{self.where(walked)} is a dataset, expected a group with '{visible(part)}'. {_COPY}"
                )
            walked, group = f"{walked}/{part}".lstrip("/"), walked
            with _reading(self.where(walked)):
                link = node.get(part, getlink=True)
                if link is None:
                    return None
                if isinstance(link, self._h5py.SoftLink) and (followed := followed + 1) <= _MOST_LINKS:
                    to = str(link.path)
                    node, walked = (self._file, "") if to.startswith("/") else (node, group)
                    ahead = [step for step in to.split("/") if step not in ("", ".")] + ahead
                    continue
                if not isinstance(link, self._h5py.HardLink):
                    is_soft = isinstance(link, self._h5py.SoftLink)
                    raise EpisodeCorrupt(
                        f"{self.where(path)} is behind {f'more than {_MOST_LINKS} links' if is_soft else 'a link to another file'}, which "
                        f"{'are' if is_soft else 'is'} not followed. Copy what it leads to into its place, as `h5copy -f ext` does."
                    )
                node = node[part]
        return node


@contextlib.contextmanager
def _reading(where: str) -> Generator[None, None, None]:
    """Turn what the HDF5 library raises into EpisodeCorrupt that names a place."""
    try:
        yield
    except EpisodeCorrupt:
        raise
    except (OSError, RuntimeError, *MALFORMED) as error:
        raise EpisodeCorrupt(f"{where} cannot be read by the HDF5 library ({_first_words(error)}). {_COPY}") from error


@contextlib.contextmanager
def open_hdf5(path: Path) -> Generator[Hdf5File, None, None]:
    """Open an HDF5 file for reading.

    Raises:
        ConfigError: h5py is missing.
        EpisodeError: it cannot be read, or is none.
    """
    h5py = h5py_module()
    try:
        file = h5py.File(plain_file(path), "r")
    except OSError as error:
        if error.errno is not None and error.filename is not None:
            raise unreadable(path, error) from error
        raise EpisodeCorrupt(f"'{path}' is no whole HDF5 file ({_first_words(error)}). {_COPY}") from error
    except (RuntimeError, *MALFORMED) as error:
        raise EpisodeCorrupt(f"'{path}' is no whole HDF5 file ({_first_words(error)}). {_COPY}") from error
    with file:
        yield Hdf5File(file, path)


class ParquetFile:
    """The columns of a Parquet file, by name."""

    def __init__(self, path: Path, *, arrow: tuple[ModuleType, ModuleType]) -> None:
        """Open a file.

        Args:
            path: of the file.
            arrow: pyarrow and pyarrow.parquet.
        Raises:
            EpisodeError: it cannot be read, or is none.
        """
        self.path, (self._arrow, parquet) = path, arrow
        self._read: dict[str, Any] = {}
        try:
            self._file = parquet.ParquetFile(plain_file(path, as_text=True))
            about = self._file.metadata
            size = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
            self._schema, self.rows = self._file.schema_arrow, int(about.num_rows)
        except OSError as error:
            if error.errno is not None:
                raise unreadable(path, error) from error
            raise EpisodeCorrupt(f"'{path}' is no whole Parquet file ({_first_words(error)}). {_COPY}") from error
        except (*MALFORMED, NotImplementedError) as error:
            raise EpisodeCorrupt(f"'{path}' is no whole Parquet file ({_first_words(error)}). {_COPY}") from error
        if size > LARGEST_TABLE:
            raise EpisodeCorrupt(
                f"'{path}' has {size} bytes unpacked, at most {LARGEST_TABLE} are read. Split it into smaller files."
            )

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def numbers(self, name: str, width: int, rows: Int[Array, " n"]) -> Float[Array, "n width"]:
        """Return a column's numbers in some rows.

        Args:
            name: of the column.
            width: numbers per row.
            rows: which, in the order wanted.
        Raises:
            EpisodeCorrupt: it is missing, no real numbers, or has a row of another width, without a value, or not finite.
        """
        types, column = self._arrow.types, self._column(name)
        kind = self._schema.field(name).type
        is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
        value = kind.value_type if is_list else kind
        if not (types.is_integer(value) or types.is_floating(value)):
            raise EpisodeCorrupt(f"{self._where(name)} holds values of type {kind}, expected real numbers. {_FIX}")
        found = np.empty((len(rows), width))
        for i, entry in enumerate(column.take(self._arrow.array(rows)).to_pylist()):
            numbers = entry if is_list else [entry]
            if numbers is None or None in numbers:
                raise EpisodeCorrupt(
                    f"{self._where(name)} has no value in row {rows[i]}, expected {width} of them. Leave the episode out of the dataset, or put "
                    f"a whole copy of the file there."
                )
            if len(numbers) != width:
                raise EpisodeCorrupt(
                    f"{self._where(name)} has {counted(len(numbers), 'number')} in row {rows[i]}, expected {width}. Only datasets of a seven-joint arm with "
                    f"one gripper are imported."
                )
            found[i] = numbers
            if not np.isfinite(found[i]).all():
                raise EpisodeCorrupt(
                    f"{self._where(name)} is not a number in row {rows[i]}. Leave the episode out of the dataset, or put a whole copy of the file "
                    f"there."
                )
        return found

    def whole(self, name: str) -> Int[Array, " n"]:
        """Return a whole column of whole numbers. Raises EpisodeCorrupt where it is missing or holds anything else."""
        column, kind = self._column(name), self._schema.field(name).type
        if not self._arrow.types.is_integer(kind) or column.null_count:
            found = f"values of type {kind}" if not self._arrow.types.is_integer(kind) else "rows without a value"
            raise EpisodeCorrupt(f"{self._where(name)} holds {found}, expected whole numbers. {_COPY}")
        return column.to_numpy().astype(np.int64)

    def truths(self, name: str, rows: Int[Array, " n"]) -> Bool[Array, " n"]:
        """Return a column of true and false in some rows. Raises EpisodeCorrupt where it is missing or holds anything else."""
        column, kind = self._column(name), self._schema.field(name).type
        values = [
            v[0] if isinstance(v, list) and len(v) == 1 else v for v in column.take(self._arrow.array(rows)).to_pylist()
        ]
        if not all(isinstance(value, bool) for value in values):
            raise EpisodeCorrupt(
                f"{self._where(name)} holds values of type {kind}, expected true or false in every row. Correct the column, or remove it and give --outcome."
            )
        return np.array(values, dtype=bool)

    def texts(self, name: str, rows: Int[Array, " n"]) -> list[str]:
        """Return a column of texts in some rows, empty where one has none. Raises EpisodeCorrupt where it is missing or holds anything else."""
        column, kind = self._column(name), self._schema.field(name).type
        if not (self._arrow.types.is_string(kind) or self._arrow.types.is_large_string(kind)):
            raise EpisodeCorrupt(f"{self._where(name)} holds values of type {kind}, expected texts. {_COPY}")
        return [text or "" for text in column.take(self._arrow.array(rows)).to_pylist()]

    def pictures(self, name: str, rows: Int[Array, " n"]) -> Iterator[UInt8[Array, "H W 3"]]:
        """Yield a column's pictures in some rows: PNG or JPEG files, as LeRobot keeps them where it makes no films.

        Raises:
            EpisodeCorrupt: it is missing, or a row has no picture in colour.
        """
        column = self._column(name)
        for row in map(int, rows):
            entry = column[row].as_py()
            data = entry.get("bytes") if isinstance(entry, dict) else entry
            where = f"{self._where(name)}, row {row}"
            if not isinstance(data, bytes):
                place = entry.get("path") if isinstance(entry, dict) else None
                found = f"only the path '{in_line(str(place)[:80])}'" if place else "none"
                raise EpisodeCorrupt(
                    f"{where}: expected a picture, got {found}. Write the dataset so that its tables hold the pictures, as LeRobot does."
                )
            if data.startswith(_PNG) and data[_PNG_BITS : _PNG_BITS + 2] in _PNG_DEPTH:
                raise EpisodeCorrupt(
                    f"{where}: it is no picture but one number of 16 bits per pixel, as depth is kept. Remove the column from meta/info.json."
                )
            try:
                yield image_files.decode(data)
            except ValueError as error:
                raise EpisodeCorrupt(
                    f"{where}: no PNG or JPEG that can be read ({_first_words(error)}). {_COPY}"
                ) from error

    def entries(self, names: Sequence[str]) -> list[Stated]:
        """Return the rows as documents with some columns. Raises EpisodeCorrupt where one of them is missing."""
        columns = {name: self._column(name).to_pylist() for name in dict.fromkeys(names)}
        return [
            Stated({name: values[row] for name, values in columns.items()}, self.path, f"row {row}")
            for row in range(self.rows)
        ]

    def has(self, name: str) -> bool:
        """Return whether there is a column."""
        return bool(self._schema.get_all_field_indices(name))

    def _column(self, name: str) -> Any:
        count = len(self._schema.get_all_field_indices(name))
        if count != 1:
            there = ", ".join(sorted(map(visible, self._schema.names)))[:300] or "none"
            raise EpisodeCorrupt(
                f"'{self.path}' has {'no column' if not count else f'{count} columns'} '{visible(name)}', expected one; its columns are {there}. "
                f"Put a whole copy of the file there, or write the dataset anew with LeRobot."
            )
        try:
            if name not in self._read:
                self._read[name] = self._file.read(columns=[name]).column(name)
            return self._read[name]
        except (OSError, *MALFORMED, NotImplementedError) as error:
            raise EpisodeCorrupt(f"{self._where(name)} cannot be read ({_first_words(error)}). {_COPY}") from error

    def _where(self, name: str) -> str:
        return f"'{self.path}', '{visible(name)}'"


def _type_name(kind: Any) -> str:
    return counted(len(kind.names), "field") if kind.names else str(kind)


def _first_words(error: BaseException) -> str:
    """Return what a library says, without its own context."""
    return visible(str(error).partition("\n")[0])[:120] or type(error).__name__
