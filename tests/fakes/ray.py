"""A stand-in with the face of Ray that `frs_core.evaluation.ray_pool` uses: actors live in this process and answer at once.

`die` lets a number of calls fail as a dead worker would.
"""

import copy
import dataclasses
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

die = 0
_is_up = False


class RayError(Exception):
    """Something went wrong on another machine."""


class GetTimeoutError(RayError, TimeoutError):
    """An answer is not there yet."""


exceptions = SimpleNamespace(RayError=RayError, GetTimeoutError=GetTimeoutError)


class _Answer:
    def __init__(self, make: Callable[[], Any]) -> None:
        self.value: Any = None
        self.error: RayError | None = None
        try:
            self.value = _read_only(copy.deepcopy(make()))
        except Exception as error:
            self.error = RayError(str(error))
            self.error.cause = error  # type: ignore[attr-defined]


def _read_only(value: Any) -> Any:
    """Return a value whose arrays may not be written to, as they lie in Ray's own memory."""
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            _read_only(getattr(value, field.name))
    elif isinstance(value, tuple):
        for item in value:
            _read_only(item)
    return value


class _Method:
    def __init__(self, bound: Callable[..., Any]) -> None:
        self._bound = bound

    def remote(self, *arguments: Any) -> _Answer:
        return _Answer(lambda: self._call(*arguments))

    def _call(self, *arguments: Any) -> Any:
        global die
        if die:
            die -= 1
            raise RuntimeError("the worker died")
        return self._bound(*arguments)


class _Handle:
    def __init__(self, actor: Any) -> None:
        self.actor = actor

    def __getattr__(self, name: str) -> _Method:
        return _Method(getattr(self.actor, name))


class _Remote:
    def __init__(self, cls: type) -> None:
        self._cls = cls

    def remote(self, *arguments: Any) -> _Handle:
        return _Handle(self._cls(*arguments))


def init(**_options: Any) -> None:
    """Start."""
    global _is_up
    _is_up = True


def is_initialized() -> bool:
    """Tell whether it was started."""
    return _is_up


def shutdown() -> None:
    """End."""
    global _is_up
    _is_up = False


def remote(**_resources: Any) -> Callable[[type], _Remote]:
    """Return what makes actors of a class."""
    return _Remote


def get(answer: _Answer, *, timeout: float) -> Any:
    """Return an answer."""
    if answer.error is not None:
        raise answer.error
    return answer.value


def wait(answers: Sequence[_Answer], *, num_returns: int, timeout: float) -> tuple[list[_Answer], list[_Answer]]:
    """Return the answers that are there, and the others."""
    return list(answers[:num_returns]), list(answers[num_returns:])


def kill(handle: _Handle) -> None:
    """End an actor."""
    handle.actor.close()
