"""Results of an evaluation: one JSON line per episode, appended as each ends, so that a run can be interrupted and resumed.

The first line is a header (format, set-up, limits, policy's fingerprint). A file made under other conditions is refused, an
incomplete last line is dropped, and results of a policy that has been trained again since are not reused.

    {"format": "frs-eval", "version": 1, "conditions": {...}, "policy_fingerprint": "..."}
    {"method": "frs", "task": "mug_on_plate", "seed": 7, "success": true, "steps": 112, ...}
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from frs_core.choosers.answers import Spent
from frs_core.errors import ConfigError, FingerprintMismatch
from frs_core.evaluation.draws import Draw
from frs_core.runtime.foreign import MALFORMED, parse_json, read_bytes

FORMAT = "frs-eval"
VERSION = 1
LARGEST = 256 << 20
"""Largest results file, bytes; an episode takes about 200."""


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One episode to run."""

    method: str
    task: str
    seed: int
    episode_set: int = 0
    """Set of episodes that the learner was trained on; 0 = no set (see `draws`)."""
    train_seed: int = 0

    @property
    def draw(self) -> Draw:
        """The draw that the episode belongs to."""
        return Draw(self.episode_set, self.train_seed)


@dataclass(frozen=True, slots=True)
class Result:
    """Result of one episode."""

    method: str
    task: str
    seed: int
    success: bool
    steps: int = 0
    chunks: int = 0
    steered_chunks: int = 0
    seconds: float = 0.0
    trained: str = ""
    """First characters of the hash of the trained policy's weights; empty without a trained policy."""
    error: str = ""
    """Why the episode could not be run; such a result is not counted and is retried on resume."""
    episode_set: int = 0
    train_seed: int = 0
    forecast: float | None = None
    """Success rate forecast by the trained policy's report, 0..1; None without a forecast."""
    operator_noise: float = 0.0
    """Share of the operator's chunks that were to get a wrong direction."""
    spent: Spent | None = None
    """What the picks of a vision-language model took; None where none steered."""

    @classmethod
    def failed(cls, cell: Cell, why: str) -> "Result":
        """Return the result of an episode that could not be run."""
        return cls(
            cell.method,
            cell.task,
            cell.seed,
            False,
            error=why,
            episode_set=cell.episode_set,
            train_seed=cell.train_seed,
        )

    @property
    def cell(self) -> Cell:
        """The cell of this result."""
        return Cell(self.method, self.task, self.seed, self.episode_set, self.train_seed)


class ResultFile:
    """An append-only JSONL file of results."""

    def __init__(self, path: Path, conditions: Mapping[str, Any], policy_fingerprint: str) -> None:
        """Open or start the file.

        Args:
            path: the file; its folder is made.
            conditions: must be equal for results to be comparable.
            policy_fingerprint: of the generalist.
        Raises:
            ConfigError: the file was made under other conditions, or is not a results file.
            FingerprintMismatch: it was made with another generalist.
        """
        self.path = path
        self.results: dict[Cell, Result] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        header = {
            "format": FORMAT,
            "version": VERSION,
            "conditions": json.loads(json.dumps(conditions)),
            "policy_fingerprint": policy_fingerprint,
        }
        if path.exists() and path.stat().st_size > 0:
            found, results, size = read_results(path)
            _check_header(found, header, path)
            self.results = {r.cell: r for r in results}
            os.truncate(path, size)
            self._file = path.open("a", encoding="utf-8")
        else:
            self._file = path.open("w", encoding="utf-8")
            self._write(header)

    def add(self, result: Result) -> None:
        """Append one result and flush it to disk."""
        self._write(asdict(result))
        self.results[result.cell] = result

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._file.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def read_results(path: Path) -> tuple[dict[str, Any], list[Result], int]:
    """Return (header, results in file order, number of bytes in complete lines).

    Raises:
        ConfigError: missing, not a results file, or damaged before its last line.
    """
    if not path.is_file():
        raise ConfigError(f"No results at '{path}'. Run `frs eval` first, or correct --out.")
    try:
        data = read_bytes(path, limit=LARGEST, may_link=True)
    except OSError as error:
        raise ConfigError(f"'{path}' cannot be read: {error.strerror}. Choose another --out.") from error
    whole = data[: data.rfind(b"\n") + 1]
    lines = whole.splitlines()
    try:
        header = parse_json(lines[0])
        if header["format"] != FORMAT or header["version"] != VERSION:
            raise ValueError(f"format {header['format']} version {header['version']}")
    except MALFORMED as error:
        raise ConfigError(f"'{path}' is not an evaluation file ({error}). Choose another --out.") from error
    results: list[Result] = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            results.append(_result(parse_json(line)))
        except MALFORMED as error:
            raise ConfigError(f"'{path}' is damaged in line {number}: {error}. Remove that line and resume.") from error
    return header, results, len(whole)


def _result(row: dict[str, Any]) -> Result:
    """Return the result of a line. Raises TypeError for fields that are no result's."""
    spent = row.pop("spent", None)
    if spent is None:
        return Result(**row)
    took: dict[str, Any] = {**spent, "seconds": tuple(float(s) for s in spent["seconds"])}
    return Result(**row, spent=Spent(**took))


def check_conditions(path: Path, conditions: Mapping[str, Any]) -> str:
    """Return the policy fingerprint of a file, checking its conditions; empty without a file.

    Raises:
        ConfigError: made under other conditions, or not a results file.
    """
    if not path.exists() or path.stat().st_size == 0:
        return ""
    found = read_results(path)[0]
    _check_header(found, {**found, "conditions": json.loads(json.dumps(conditions))}, path)
    return found["policy_fingerprint"]


def latest(results: Iterable[Result]) -> list[Result]:
    """Return the last result of each cell, in order of first appearance."""
    kept: dict[Cell, Result] = {}
    for result in results:
        kept[result.cell] = result
    return list(kept.values())


def _check_header(found: Mapping[str, Any], header: Mapping[str, Any], path: Path) -> None:
    if found["policy_fingerprint"] != header["policy_fingerprint"]:
        raise FingerprintMismatch(
            f"'{path}' holds results of policy {str(found['policy_fingerprint'])[:12]}, this one is "
            f"{str(header['policy_fingerprint'])[:12]}. Choose another --out."
        )
    if found["conditions"] != header["conditions"]:
        ours, theirs = header["conditions"], found["conditions"]
        keys = [k for k in {**ours, **theirs} if ours.get(k) != theirs.get(k)]
        raise ConfigError(
            f"'{path}' was made under other conditions: {keys[0]} was {theirs.get(keys[0])}, now "
            f"{ours.get(keys[0])}. Choose another --out, or use the previous settings."
        )
