"""Two foot pedals: one holds, one steps left. Here a file stands for the hardware: it holds the names of pressed pedals."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from frs_core.devices.base import ControlChange, DeviceEvent, InputDevice, Stage


class Pedal(InputDevice):
    """Both pedals."""

    kind = "pedal"
    title = "Foot pedals"
    prefix = "pedal"
    controls = ("pedal:hold", "pedal:left")
    bindings = {"drive.hold": ("pedal:hold",), "steer.left": ("pedal:left",)}  # noqa: RUF012

    def __init__(self) -> None:
        self._file = Path(os.environ.get("FRS_TOY_PEDALS", "/nonexistent"))
        self._down: set[str] = set()

    def poll(self) -> list[DeviceEvent]:
        words = self._file.read_text().split() if self._file.is_file() else []
        down = {c for c in self.controls if c.partition(":")[2] in words}
        changed, now = sorted(down ^ self._down), time.monotonic_ns()
        self._down = down
        return [
            ControlChange(self.kind, c, Stage.PRESSED if c in down else Stage.RELEASED, float(c in down), now)
            for c in changed
        ]

    @property
    def names(self) -> tuple[str, ...]:
        return ("Foot pedals",) if self._file.is_file() else ()

    @property
    def status(self) -> str:
        return "connected" if self.names else "none; set FRS_TOY_PEDALS to a file"

    @property
    def levels(self) -> Mapping[str, float]:
        return dict.fromkeys(self._down, 1.0)

    def close(self) -> None:
        self._file = Path("/nonexistent")
        self._down = set()
