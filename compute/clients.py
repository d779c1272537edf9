"""Who asks: what a session's runs know it by, and else a hash of the client's address."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

#: Where a session keeps what its runs know it by. Not its key, for staff sees the runs.
OWNER = "owner"


def client_of(request: HttpRequest) -> str:
    """What this client's runs are counted by, at most 32 characters.

    A session that has started something already, so that people behind one address do
    not stand in each other's way. Whoever has none is known by the address, of which
    rows keep no more than a hash, keyed with SECRET_KEY. So nobody gets a new allowance
    by throwing the cookie away.
    """
    owner = request.session.get(OWNER)
    if owner:
        return str(owner)
    hashed = salted_hmac("compute.clients", network_of(request), algorithm="sha256")
    return hashed.hexdigest()[:32]


def network_of(request: HttpRequest) -> str:
    """The client's address; of IPv6 the /64, which is what one customer has of it."""
    address = address_of(request)
    if ":" in (address or ""):
        return str(ip_network(f"{address}/64", strict=False))
    return address or ""


def address_of(request: HttpRequest) -> str | None:
    """The address that the request came from; None if there is none, as on a Unix socket.

    Without DEBUG the site stands behind a host's router, which appends the address that
    it sees to X-Forwarded-For. What stands before that the client may have made up.
    """
    said = "" if settings.DEBUG else request.META.get("HTTP_X_FORWARDED_FOR", "")
    found = parsed(said.rpartition(",")[2]) or parsed(request.META.get("REMOTE_ADDR", ""))
    return str(found) if found else None


def parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text.strip().partition("%")[0])  # a scope is this machine's own
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
