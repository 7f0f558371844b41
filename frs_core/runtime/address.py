"""Addresses of servers: judged before the network is asked, and printed without what is secret in them.

Problem: an address may carry a password or a token, and a mistyped one is looked up for seconds before it fails in the system's words.
Idea: whoever takes an address calls `require_address` first, and whoever prints one, or a text that may hold one, prints `shown`.
What is stored is `shown` too, and an address with the sign for what was left out, "?…", is refused: nobody connects with half of one.

Example: `shown("wss://ada:pw@gpu:8000/v1?token=x")` is "wss://gpu:8000/v1?…".

Pure; any thread.
"""

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from frs_core.errors import ConfigError
from frs_core.runtime.foreign import visible

_USER = re.compile(r"""//(?:[^/@\s]*|[^/@\s:]+:(?!\d+/)[^@\s'"]*)@""")
"""A password may hold a slash, though it should be written "%2F"; what begins like a port's digits is none."""
_QUERY = re.compile(r"""(//[^\s?#'"]*)[?#][^\s'"]*""")


_WHOLE = re.compile(
    r"""\s*((?:[a-z][a-z0-9+.-]*://)?)(?!.*://)(?![^/:\s]+:\d+/.*@[^@:]*$)(?:[^/]*|[^/:]*:.*)@([\w.:%\[\]-]+(?:[/?#]\S*)?)\s*""",
    re.IGNORECASE | re.DOTALL,
)
"""A text that is one address with a user; the password may then hold anything, and the scheme may lack, as in proxy variables."""


def shown(text: object) -> str:
    """Return an address, or a text that holds some, without users, passwords and what follows a "?" or "#"."""
    text = str(text)
    if (whole := _WHOLE.fullmatch(text)) and (whole[1] or re.match(r"\S+:\S*@", text)):
        text = whole[1] + whole[2]
    return visible(_QUERY.sub(r"\1?…", _USER.sub("//", str(text))))


def without_secret(value: object) -> object:
    """Return an option's value as it may be stored: an address as `shown`, anything else as it is."""
    return shown(value) if isinstance(value, str) and "://" in value else value


def require_address(
    what: str, address: str, *, schemes: tuple[str, ...], example: str, instead: str = ""
) -> SplitResult:
    """Return the parts of a server's address.

    Args:
        what: the server, for the text ("Policy server").
        address: as given.
        schemes: those that are understood.
        example: what a good one looks like.
        instead: where a secret is given, for a server whose address has no room for one: users and what follows a "?" or "#" are then refused.
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
        elif "…" in parts.query:
            why = why or ': what followed the "?" was left out where it was stored, because it may be secret'
        elif instead and (parts.username is not None or parts.query or parts.fragment):
            why = why or f': it holds a user, a "?" or a "#", which are not sent; a secret is given {instead}'
    except ValueError as error:
        why, parts = why or f": {shown(error)}", None
    if why or parts is None:
        raise ConfigError(f"{what} address '{shown(address)}' is not usable{why}. Write {example}.")
    return parts
