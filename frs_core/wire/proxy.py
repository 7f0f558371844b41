"""Which proxy a connection goes through, if any.

Problem: a lab machine has proxy variables for the internet, and a policy server nearby that is behind no proxy. Idea: the environment's
proxy is used for public addresses only; one that is given is always used; and it is named wherever a connection fails.

Example: with `https_proxy=http://proxy:3128`, `proxy_for("ws://10.0.0.5:8000")` is None, `proxy_for("wss://gpu.example.org")` is
"http://proxy:3128".

Any thread; resolving a name may take seconds.
"""

import contextlib
import ipaddress
import socket
import urllib.request
from urllib.parse import urlsplit

from frs_core.runtime.address import shown

_CARRIER = ipaddress.ip_network("100.64.0.0/10")
"""Shared addresses, as private networks over the internet use them. Source: RFC 6598."""

_VARIABLES = {
    "wss": ("wss", "socks", "https", "all"),
    "ws": ("ws", "socks", "https", "http", "all"),
    "https": ("https",),
    "http": ("http",),
}
"""Scheme of an address -> the proxy variables it goes by, the first that is set. Python's HTTP client knows no SOCKS, which ALL_PROXY often is."""


def proxy_for(url: str, *, given: str | None = None) -> str | None:
    """Return the proxy for an address, None = connect directly.

    Args:
        url: ws://, wss://, http:// or https://.
        given: a proxy to use in any case.
    """
    if given is not None:
        return given
    parts = urlsplit(url)
    host, known = parts.hostname or "", urllib.request.getproxies()
    found = next((known[name] for name in _VARIABLES[parts.scheme] if known.get(name)), None)
    if found is None or is_near(host) or urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    # The system's settings give a SOCKS proxy with the scheme of a web page.
    return found.replace("http://", "socks5h://", 1) if found == known.get("socks") else found


def opener_for(url: str) -> urllib.request.OpenerDirector:
    """Return an HTTP client that asks for an address through its proxy, if it has one."""
    proxy = proxy_for(url)
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({} if proxy is None else {urlsplit(url).scheme: proxy})
    )


def through(url: str) -> str:
    """Return which proxy an address is asked for through, without its password, for an error; empty where there is none."""
    proxy = proxy_for(url)
    return (
        "" if proxy is None else f" through the proxy {shown(proxy)} (no_proxy={urlsplit(url).hostname} goes without)"
    )


def is_near(host: str) -> bool:
    """Tell whether a host is this machine or on a private network; a name counts by all its addresses."""
    if host == "localhost" or host.endswith((".localhost", ".local")):
        return True
    with contextlib.suppress(ValueError):
        return _is_private(host)
    found: set[str] = set()
    with contextlib.suppress(OSError, UnicodeError):
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    return bool(found) and all(_is_private(address) for address in found)


def _is_private(address: str) -> bool:
    """Tell it of one address. Raises ValueError where it is none."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    return (
        ip.is_private or ip.is_loopback or ip.is_link_local or ip.is_unspecified or (ip.version == 4 and ip in _CARRIER)
    )
