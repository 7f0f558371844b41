"""What a part is given: a device, a size, and a file that its results go into as they come.

Problem: a part may crash, hang or run out of time, and what it has measured by then must not be lost. Idea: every result is written
to the part's file when it is there; the file is replaced as a whole, so that it can be read at any time.

Example: `task.note("peak GB", 9.1)`, `task.say("9.1 GB at most")`; a part that cannot run here raises `CannotRun("no CUDA device")`.
Imports nothing but the standard library: the first part must run where nothing is installed.
"""

import json
import os
from pathlib import Path
from typing import Any


class CannotRun(Exception):
    """The part needs what this machine does not have; the text says what, in one sentence."""


class Task:
    """One part's work in its own process."""

    def __init__(self, file: Path, *, device: str, is_small: bool) -> None:
        """Start with no results.

        Args:
            file: JSON, for the results.
            device: "cuda" or "cpu".
            is_small: a tiny size for a try in seconds.
        """
        self.file, self.device, self.is_small = file, device, is_small
        self._told: dict[str, Any] = {"headline": "", "results": {}}

    def note(self, name: str, value: Any) -> None:
        """Keep a result, and write all there are."""
        self._told["results"][name] = value
        self._write()

    def add(self, name: str, value: Any) -> None:
        """Append to a list of results, and write all there are."""
        self._told["results"].setdefault(name, []).append(value)
        self._write()

    def say(self, headline: str) -> None:
        """Set the line that the summary shows."""
        self._told["headline"] = headline
        self._write()

    def end(self, status: str, reason: str = "") -> None:
        """Write how the part ended: "ok", "failed" or "cannot run", and why."""
        self._told |= {"status": status, "reason": reason}
        self._write()

    def torch_device(self) -> Any:
        """Return the device.

        Raises:
            CannotRun: PyTorch has no CUDA device.
        """
        import torch

        if self.device == "cuda" and not torch.cuda.is_available():
            built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
            raise CannotRun(f"PyTorch {torch.__version__}, {built}, finds no CUDA device.")
        return torch.device(self.device)

    def dtype(self) -> Any:
        """Return the type of the weights: bfloat16 on a card, float32 on a CPU."""
        import torch

        return torch.bfloat16 if self.device == "cuda" else torch.float32

    def _write(self) -> None:
        partial = self.file.with_suffix(".partial")
        partial.write_text(json.dumps(self._told, indent=1) + "\n")
        os.replace(partial, self.file)
