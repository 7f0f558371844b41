"""Which proxy a connection goes through, if any.

Problem: a lab machine has proxy variables for the internet, and a policy server nearby that is behind no proxy. Idea: the environment's
proxy is used for public addresses only; one that is given is always used; and it is named wherever a connection fails.

Example: with `https_proxy=http://proxy:3128`, `proxy_for("ws://10.0.0.5:8000")` is None, `proxy_for("wss://gpu.example.org")` is
"http://proxy:3128".

Any thread; resolving a name may take seconds.
"""

import contextlib
import ipaddress
import os
import re
import socket
import urllib.error
import urllib.request
from fnmatch import fnmatchcase
from urllib.parse import quote, urlsplit

from frs_core.errors import ConfigError
from frs_core.runtime.address import shown
from frs_core.runtime.foreign import in_line

_CARRIER = ipaddress.ip_network("100.64.0.0/10")
"""Shared addresses, as private networks over the internet use them. Source: RFC 6598."""

_VARIABLES = {
    "wss": ("wss", "socks", "https", "all"),
    "ws": ("ws", "socks", "https", "http", "all"),
    "https": ("https", "all"),
    "http": ("http", "all"),
}
"""Scheme of an address -> the proxy variables it goes by, the first that is set."""
_USER_SIGNS = "%:!$&'()*+,;=-._~"
"""What may stand in the user and password of an address, besides letters and digits; "%" because it may be written so already. Source: RFC 3986."""


def proxy_for(url: str, *, given: str | None = None) -> str | None:
    """Return the proxy for an address, None = connect directly.

    As curl and requests read them, one without a scheme is an http:// one, and the password may hold any sign.

    Args:
        url: ws://, wss://, http:// or https://.
        given: a proxy to use in any case.
    Raises:
        ConfigError: the proxy's address is none.
    """
    if given is not None:
        return _address_of(given, option="proxy", url=url)
    parts = urlsplit(url)
    host, known = parts.hostname or "", urllib.request.getproxies()
    name = next((name for name in _VARIABLES[parts.scheme] if known.get(name, "").strip()), None)
    if name is None or is_near(host) or is_exempt(url):
        return None
    found = _address_of(known[name], option=f"{name}_proxy", url=url)
    # The system's settings give a SOCKS proxy with the scheme of a web page.
    return found.replace("http://", "socks5h://", 1) if name == "socks" else found


class _Straight(urllib.request.HTTPRedirectHandler):
    """Leaves a redirection to whoever asked, as the HTTPError that it is."""

    def redirect_request(self, req: object, fp: object, code: int, msg: str, headers: object, newurl: str) -> None:
        """Return None: nothing else is asked for."""


def opener_for(url: str, *, follows: bool = False) -> urllib.request.OpenerDirector:
    """Return an HTTP client that asks for an address through its proxy, if it has one.

    Args:
        url: http:// or https://.
        follows: whether redirections are followed, to any host: for public downloads alone. What is sent may be secret, and is sent on; a
            POST becomes a GET, whose answer is none to what was asked.
    Raises:
        ConfigError: the proxy is one that Python's HTTP client cannot speak to.
    """
    proxy = proxy_for(url)
    if proxy is not None and not proxy.startswith("http://"):
        parts = urlsplit(url)
        raise ConfigError(
            f"{shown(url)} cannot be asked for through the proxy {shown(proxy)}: only http:// proxies are understood here, neither SOCKS nor TLS "
            f"ones. Set {parts.scheme}_proxy to one, or no_proxy={parts.hostname} to go without."
        )
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({} if proxy is None else {urlsplit(url).scheme: proxy}),
        *([] if follows else [_Straight()]),
    )


def redirection(status: int, location: object) -> str:
    """Return what to say of an answer that sends elsewhere: "sends elsewhere (HTTP status 302), to http://other/"; empty for any other."""
    if not 300 <= status < 400:
        return ""
    return f"sends elsewhere (HTTP status {status}), to {in_line(shown(location or 'no address'))[:200]}"


def through(url: str) -> str:
    """Return which proxy an address is asked for through, without its password, for an error; empty where there is none."""
    proxy = proxy_for(url)
    return (
        "" if proxy is None else f" through the proxy {shown(proxy)} (no_proxy={urlsplit(url).hostname} goes without)"
    )


def reason_of(error: Exception) -> str:
    """Return why a request failed, in the system's words, without Python's numbers and brackets and without what is secret."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP status {error.code} {shown(error.reason)}"
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception):
        return reason_of(error.reason)
    return shown(getattr(error, "strerror", None) or getattr(error, "reason", None) or error)


def is_exempt(url: str) -> bool:
    """Tell whether no_proxy names an address: by its host or domain, with or without a port, by an address, with or without brackets, or by a range.

    Entries are separated by commas, semicolons or spaces; "*" stands for anything, as in "8.8.8.*". NO_PROXY counts where no_proxy is empty.
    """
    parts = urlsplit(url)
    host = _plain_host(parts.hostname or "")
    listed = next((text for name in ("no_proxy", "NO_PROXY") if (text := os.environ.get(name, "").strip())), "")
    return any(_names(entry, host, parts.port) for entry in re.split(r"[,;\s]+", listed) if entry) or bool(
        urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2])
    )


def _names(entry: str, host: str, port: int | None) -> bool:
    """Tell whether one entry of no_proxy names a host."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry.strip("[]"), strict=False)
    named = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::([0-9]+))?", entry)
    if named is None or named[2] not in (None, str(port)):
        return False
    name = _plain_host(named[1].strip("[]")).removeprefix("*.").lstrip(".")
    return bool(name) and (host == name or host.endswith("." + name) or ("*" in name and fnmatchcase(host, name)))


def _plain_host(host: str) -> str:
    """Return a host in one spelling."""
    host = host.lower().rstrip(".")
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(host))
    return host


def _address_of(proxy: str, *, option: str, url: str) -> str:
    """Return a proxy's address with its scheme, and with its user and password in the signs that an address may hold."""
    scheme, _, rest = proxy.strip().rpartition("://")
    user, at, place = rest.rpartition("@")
    address = f"{scheme or 'http'}://{quote(user, safe=_USER_SIGNS)}{at}{place}"
    try:
        parts = urlsplit(address)
        why = "" if parts.hostname and parts.port != 0 else "it names no host or port 0"
    except ValueError as error:
        why = shown(error)
    if why:
        raise ConfigError(
            f"The proxy '{shown(address)}' of {option} is not usable: {why}. Write http://host:3128, or set no_proxy={urlsplit(url).hostname} to "
            f"go without."
        )
    return address


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
