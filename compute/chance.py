"""Chance that can be repeated: each chunk's seed is made of the run's seed and its place alone.

So a run with the same seed and the same chunks comes to the same on any node, in any order, and
however often a chunk is run. Pure: no Django in here.
"""

from __future__ import annotations

import secrets
from hashlib import sha256

#: The largest seed, of a run and of a chunk: what 64 bits hold with a sign.
MOST = 2**63 - 1
#: A run's seed is drawn below this: every reader of JSON has such an integer exactly.
DRAWN_BELOW = 2**53


def drawn() -> int:
    """A seed for a run to which nobody has given one."""
    return secrets.randbelow(DRAWN_BELOW)


def seed_of(seed: int, place: int) -> int:
    """The seed of the chunk at a place (from 0) in a run with this seed: from 0 to MOST.

    The first 63 bits of the SHA-256 (FIPS 180-4) of both in decimal digits, "42:7": the same in
    each Python and on each machine. As with the spawn keys of numpy's `SeedSequence`, seeds of
    neighbours have nothing to do with each other, whereas `seed + place` would have run 42 begin
    with the chance of run 41's second chunk.
    """
    digest = sha256(f"{seed}:{place}".encode("ascii")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def keywords(seed: int | None, count: int) -> list[dict[str, int]]:
    """The keywords of each chunk's call: its seed; none without a seed."""
    return [{} if seed is None else {"seed": seed_of(seed, place)} for place in range(count)]
