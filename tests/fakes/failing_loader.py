"""Loaders of a policy as somebody else may write them: with a thread that does not end, and with what is no error of ours."""

import threading
from typing import Any

from frs_core.errors import FrsError
from tests.waiting import LONG_S


class OddError(FrsError):
    """Takes two arguments, so that no other process can make it again from its text."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")


def load_nothing(how: str = "raises") -> Any:
    """Raise, or exit, while a thread goes on."""
    threading.Thread(target=threading.Event().wait, args=(LONG_S,)).start()
    if how == "exits":
        raise SystemExit(3)
    if how == "odd":
        raise OddError("the scales", "not connected")
    raise ZeroDivisionError("no batteries")
