"""Where commands print. A value is text, whatever it holds.

Problem: names, notes and error texts come from files and may look like rich's markup (a task `[/red]` ends the program) or
hold characters that steer a terminal. Idea: this console has no markup, and spells out what a terminal would obey; colour is
given by `mark`, apart from the text.

Example: `console().print(mark("✗", "red"), f"{name}  {error}")`.

The command's thread.
"""

import errno
import os
from typing import Any

from rich.console import Console
from rich.text import Text

from frs_core.errors import FrsError
from frs_core.runtime.foreign import in_line, visible

PIPE_WIDTH = 240
"""Columns; a pipe gets whole names instead of the 80 columns of an unknown terminal."""


class PlainConsole(Console):
    """A rich console that shows texts as they are."""

    is_list = False
    """Every text is a line or a cell of a table, so a line break in it comes from a file and is spelled out, too."""

    def render_str(self, text: str, *args: Any, **options: Any) -> Text:
        """Return the text with everything spelled out that a terminal would obey."""
        return super().render_str(in_line(text) if self.is_list else visible(text), *args, **options)

    def on_broken_pipe(self) -> None:
        """Leave a reader that has gone to `frs_core.cli.main`, as `print` does; rich would end the program with status 1."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def console(*, is_stderr: bool = False, is_wide: bool = False) -> Console:
    """Return where a command prints.

    Args:
        is_stderr: the error stream.
        is_wide: for lists of what was recorded: `PIPE_WIDTH` columns if it is not a terminal, and one line per text.
    """
    made = PlainConsole(stderr=is_stderr, highlight=False, markup=False, emoji=False)
    if is_wide and not made.is_terminal:
        made = PlainConsole(stderr=is_stderr, highlight=False, markup=False, emoji=False, width=PIPE_WIDTH)
    made.is_list = is_wide
    return made


def mark(text: str, style: str) -> Text:
    """Return a text in a style, such as "red" or "dim"."""
    return Text(in_line(text), style=style)


def said(error: Exception) -> str:
    """Return an error in words; one that is no sentence of ours begins with its kind."""
    return str(error) if isinstance(error, FrsError) else f"{type(error).__name__}: {error}"
