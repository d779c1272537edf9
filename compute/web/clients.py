"""By what a request's runs are counted: its address, its session, its account."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple

from django.conf import settings
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

#: Where a session keeps what its runs know it by. Not its key, for staff sees the runs.
OWNER = "owner"

#: An address as proxies write it, perhaps with a port: 192.0.2.1:4711, [2001:db8::1]:443.
WITH_PORT = re.compile(r'"?\[([^\]]*)\](?::[0-9]+)?"?|([0-9.]+):[0-9]+', re.ASCII)


class Client(NamedTuple):
    """Who asks, by what its runs are counted."""

    #: A hash of the address, keyed with SECRET_KEY: rows keep no address.
    address: str
    #: The name that the session's runs know it by; empty until it has started something.
    session: str = ""
    #: The key of the account that is signed in.
    account: int | None = None

    @property
    def noted(self) -> str:
        """What a run's `client` is: the session, or without one the address."""
        return self.session or self.address


def client_of(request: HttpRequest) -> Client:
    hashed = salted_hmac("compute.clients", network_of(request) or "", algorithm="sha256")
    return Client(
        hashed.hexdigest()[:32], str(request.session.get(OWNER, "")), request.user.pk or None
    )


def network_of(request: HttpRequest) -> str | None:
    """The client's address as limits and the login's pause count it.

    Of IPv6 the /64's first, for one customer has all the others of it as well.
    """
    address = address_of(request)
    if address and ":" in address:
        return str(ip_network(f"{address}/64", strict=False).network_address)
    return address


def address_of(request: HttpRequest) -> str | None:
    """The address that the request came from; None if there is none, as on a Unix socket.

    Each of the PROXIES before the site appends to X-Forwarded-For the address that it was
    asked by, so the outermost's entry is the client's; what stands before that the client
    may have made up. With fewer entries the request did not pass all of them, and the first
    is that of the outermost it did pass. An entry that is no address is passed over for the
    next, which a proxy nearer to the site wrote: at the end, for the address of the nearest.
    """
    entries = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    believed = entries[-settings.PROXIES :] if settings.PROXIES else []
    for entry in (*believed, request.META.get("REMOTE_ADDR", "")):
        found = parsed(entry)
        if found:
            return str(found)
    return None


def is_this_machine(request: HttpRequest) -> bool:
    address = address_of(request)
    return address is not None and ip_address(address).is_loopback


def parsed(text: str) -> IPv4Address | IPv6Address | None:
    text = text.strip()
    match = WITH_PORT.fullmatch(text)
    if match:
        text = match[1] or match[2] or ""
    try:
        found = ip_address(text.partition("%")[0])  # a scope is this machine's own
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
