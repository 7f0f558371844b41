"""Addresses of servers: judged before the network is asked, and printed without what is secret in them.

Problem: an address may carry a password or a token, and a mistyped one is looked up for seconds before it fails in the system's words.
Idea: whoever takes an address calls `require_address` first, and whoever prints one, or a text that may hold one, prints `shown`.

Example: `shown("wss://ada:pw@gpu:8000/v1?token=x")` is "wss://gpu:8000/v1?…".

Pure; any thread.
"""

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from frs_core.errors import ConfigError
from frs_core.runtime.foreign import visible

_USER = re.compile(r"//[^/@\s]*@")
_QUERY = re.compile(r"""(//[^\s?#'"]*)[?#][^\s'"]*""")


def shown(text: object) -> str:
    """Return an address, or a text that holds some, without users, passwords and what follows a "?" or "#"."""
    return visible(_QUERY.sub(r"\1?…", _USER.sub("//", str(text))))


def require_address(what: str, address: str, *, schemes: tuple[str, ...], example: str) -> SplitResult:
    """Return the parts of a server's address.

    Args:
        what: the server, for the text ("Policy server").
        address: as given.
        schemes: those that are understood.
        example: what a good one looks like.
    Raises:
        ConfigError: it is no address of these schemes; nothing was sent or looked up.
    """
    why = ""
    try:
        if any(c.isspace() or not c.isprintable() for c in address):
            why = ": it holds a space, a line break or another character that no address has"
        parts = urlsplit(address)
        host = parts.hostname or ""
        if parts.port == 0:
            why = why or ": port 0 is none to connect to"
        if ":" in host:
            ipaddress.IPv6Address(host)
        host.encode("idna")
        if parts.scheme not in schemes:
            why = why or f": its scheme is '{parts.scheme}', expected {' or '.join(schemes)}"
        elif not host:
            why = why or ": it names no host"
    except ValueError as error:
        why, parts = why or f": {shown(error)}", None
    if why or parts is None:
        raise ConfigError(f"{what} address '{shown(address)}' is not usable{why}. Write {example}.")
    return parts
