"""Names of hosts as URLs, `Host` headers and settings write them: one spelling for each, so that they can be compared.

    host_of("LOCALHOST.:6066")      "localhost"
    host_of("[0:0:0:0:0:0:0:1]")    "::1"
    host_of("user@localhost")       None

Case, one trailing dot, and the port make no difference (RFC 3986, section 3.2.2; RFC 9110, section 7.2). An IPv4 address that is
written as an IPv6 one is the IPv4 address.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

LOCALHOST: Final = "localhost"
_AUTHORITY: Final = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::[0-9]*)?")


def host_of(authority: str) -> str | None:
    """The host of `host` or `host:port` in its one spelling; None where there is none.

    An IPv6 address is expected in brackets, and comes without them.
    """
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        return None
    if found["address"] is not None:
        address = address_of(found["address"])
        return None if address is None else str(address)
    return found["name"].lower().removesuffix(".") or None


def address_of(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a host is written as; None for a name."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def is_local(host: str) -> bool:
    """Whether a host in its one spelling is this machine alone: `localhost`, a name below it (RFC 6761), or a loopback address."""
    address = address_of(host)
    return address.is_loopback if address is not None else host == LOCALHOST or host.endswith(f".{LOCALHOST}")
