"""Take secrets out of what is written to the log and to diagnostics.

Problem: a token may reach the log inside a command line, an address or the text of an error. Idea: every line passes through one
`Redaction`, which masks the values of secret options and environment variables wherever they occur, and what looks like a secret:
`name=value` with a secret's name, the user of an address and what follows its "?" or "#", an authorization header.

Example: with FRS_VLM_KEY=sk-12345678 in the environment, "401 for key sk-12345678" becomes "401 for key •••".

Pure; any thread.
"""

import logging
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from frs_core.runtime.registry import is_secret

MASK = "•••"
SHORTEST = 4
"""Characters of the shortest value that is masked wherever it occurs; a shorter one would mask ordinary words."""
_NAMED = re.compile(
    r"""(?P<name>[A-Za-z0-9_-]{1,60})(?P<between>=["']?|["']\s*:\s*["']?|:\s+)(?P<value>[^\s"',;&)}\]]+)"""
)
_WORDS = re.compile("(?i)token|password|secret|key")
_USER = re.compile(r"(?<=://)[^/\s@]+(?=@)")
_QUERY = re.compile(r"""(?<=://)([^\s?#'"]+[?#])[^\s'"]+""")
_HEADER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")


class Redaction:
    """Masks secrets in text.

    Args:
        options: of world, policy and choosers; values of those with a secret's name are masked.
        environment: variables of the process; None = those of this one.
    """

    def __init__(self, *options: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> None:
        self._values: list[str] = []
        for named in (*options, os.environ if environment is None else environment):
            self.hide(*(value for name, value in named.items() if is_secret(name)))

    def hide(self, *values: object) -> None:
        """Mask these values from now on; those shorter than `SHORTEST` characters only after a secret's name."""
        texts = {str(value) for value in values if len(str(value)) >= SHORTEST}
        # The longest first: one may contain another.
        self._values = sorted({*self._values, *texts}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""
        for value in self._values:
            text = text.replace(value, MASK)
        text = _HEADER.sub(rf"\1 {MASK}", _QUERY.sub(rf"\1{MASK}", _USER.sub(MASK, text)))
        return _NAMED.sub(_without_value, text) if _WORDS.search(text) else text


class RedactingFormatter(logging.Formatter):
    """Formats records, tracebacks included, and masks secrets in them.

    Args:
        form: format of a line.
        redact: masks secrets.
    """

    def __init__(self, form: str, redact: Redaction) -> None:
        super().__init__(form)
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text without secrets."""
        return self._redact(super().format(record))


def shown_command(arguments: Sequence[str]) -> str:
    """Return a command line as it is logged: values of world, policy and chooser options are left out, because a package of somebody
    else decides which of them are secret."""
    words: list[str] = []
    is_left_out = False
    for argument in arguments:
        if argument.startswith("--"):
            name = re.split("[=.]", argument, maxsplit=1)[0]
            is_left_out = name.endswith("-options")
            words += [name, "…"] if is_left_out else [argument]
        elif not is_left_out:
            words.append(argument)
    return " ".join(words)


def _without_value(found: re.Match[str]) -> str:
    is_hidden = is_secret(found["name"].strip("-").replace("-", "_"))
    return f"{found['name']}{found['between']}{MASK}" if is_hidden else found[0]
