"""The names that a request's runs are counted by: its address, session and account."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple

from django.conf import settings
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

#: The session's entry with the name that its runs know it by: not its own key, for staff sees
#: the runs.
OWNER = "owner"

#: An address as proxies write it, perhaps with a port: 192.0.2.1:4711, [2001:db8::1]:443.
WITH_PORT = re.compile(r'"?\[([^\]]*)\](?::[0-9]+)?"?|([0-9.]+):[0-9]+', re.ASCII)


class Client(NamedTuple):
    """A request's client, by the names that its runs are counted by."""

    #: A hash of the address, keyed with SECRET_KEY: rows keep no address.
    address: str
    #: The name that the session's runs know it by; empty until it has started something.
    session: str = ""
    #: The key of the account that is signed in.
    account: int | None = None

    @property
    def sharer(self) -> str:
        """With whom others will share the workers (`Run.sharer`)."""
        return f"account {self.account}" if self.account is not None else self.noted

    @property
    def noted(self) -> str:
        """The `client` of its runs: the session, or without one the address."""
        return self.session or self.address


def client_of(request: HttpRequest) -> Client:
    hashed = salted_hmac("compute.clients", network_of(request) or "", algorithm="sha256")
    return Client(
        hashed.hexdigest()[:32], str(request.session.get(OWNER, "")), request.user.pk or None
    )


def network_of(request: HttpRequest) -> str | None:
    """The client's address as limits and the login's pause count it.

    An IPv6 address counts as the first of its /64, for one customer has the whole of it.
    """
    address = address_of(request)
    if address and ":" in address:
        return str(ip_network(f"{address}/64", strict=False).network_address)
    return address


def address_of(request: HttpRequest) -> str | None:
    """The address that the request came from; None if there is none, as on a Unix socket.

    Each of the PROXIES before the site appends to X-Forwarded-For the address that asked it,
    so the outermost's entry is the client's; entries before that may be the client's own
    inventions. With fewer entries the request did not pass all proxies, and the first entry
    is by the outermost that it did pass. An entry that is no address is passed over for the
    next, by a proxy nearer to the site, and at last for the address of the nearest proxy.
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
