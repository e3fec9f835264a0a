"""The hosts that a worker answers to: a page in a browser must not read it under a name of its own.

Reads need no token, and a browser lets a page read whatever has the page's own origin. With DNS rebinding the page's name turns into
the worker's address: its requests then come here with `Host: page.example`. So a request is answered only under names that the
page's owner can't have: localhost, the host of the worker's own URL, and those of the setting.

`/health` and `/metrics` are also answered under any IP address. A container platform probes a pod by its address, which nobody
knows beforehand. An address in `Host` can't be rebound: no name was looked up. A request without `Host` (HTTP/1.0; in
HTTP/1.1 it is an error) does not come from a browser, and is answered.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from streams.config.hostnames import address_of, host_of, is_local
from streams.errors import ApiError

ANY: Final = "*"
_BELOW: Final = "*."


class Hosts:
    """The hosts that requests may name.

    Args:
        own_url: the worker's own URL, as others are told it; empty for none.
        allowed: further hosts, `*.domain` for all names below a domain, `*` for any host at all.
    """

    def __init__(self, own_url: str = "", allowed: Iterable[str] = ()) -> None:
        own = urlsplit(own_url).hostname
        names = {_spelling_of(name) for name in (*allowed, own) if name is not None}
        self._any = ANY in names
        self._suffixes = tuple(name.removeprefix(ANY) for name in names if name.startswith(_BELOW))
        self._names = frozenset(names)

    def check(self, header: str | None, *, is_page: bool) -> None:
        """See that a request names one of the hosts.

        Args:
            header: its `Host`.
            is_page: whether it is for health or metrics.

        Raises:
            ApiError: it names another.
        """
        if header is None or self._any:
            return
        host = host_of(header)
        if host is not None and (self._has(host) or (is_page and address_of(host) is not None)):
            return
        raise ApiError(
            421,
            "unknown_host",
            f"this worker does not answer to the host {header[:100]!r}: use localhost or the host of its STREAMS_ADVERTISED_URL, "
            "or add this one to its STREAMS_ALLOWED_HOSTS",
        )

    def _has(self, host: str) -> bool:
        return is_local(host) or host in self._names or host.endswith(self._suffixes)


def _spelling_of(host: str) -> str:
    """The one spelling of a host that may have letters that are not ASCII's: as `Host` has it."""
    address = address_of(host)
    if address is not None:
        return str(address)
    try:
        return host.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        return host
