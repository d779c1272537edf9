"""Counting the primes up to n. Chunks of equal length cost unequally here."""

from __future__ import annotations

from math import isqrt

from django import forms

from compute import chunking
from compute.computation import Computation
from compute.fields import WholeNumberField
from compute.queue.progress import report

MAX_N = 10**11
#: Numbers sieved at a time, a byte of memory each, however long the chunk.
SEGMENT = 1 << 20


def count_primes(first: int, last: int) -> int:
    """How many primes there are from `first` to `last`, both included.

    The sieve of Eratosthenes, a segment after the other, as in Bays and Hudson, "The
    segmented sieve of Eratosthenes and primes in arithmetic progressions to 10^12"
    (BIT 17, 1977): the primes up to √last strike out their multiples in each.
    """
    strikers = primes_up_to(isqrt(last))
    count = 0
    for low in range(max(first, 2), last + 1, SEGMENT):
        high = min(low + SEGMENT - 1, last)
        sieve = bytearray([1]) * (high - low + 1)
        for prime in strikers:
            if prime * prime > high:
                break
            start = max(prime * prime, -(-low // prime) * prime) - low
            sieve[start::prime] = bytes(len(range(start, len(sieve), prime)))
        count += sieve.count(1)
        report((high - first + 1) / (last - first + 1))
    return count


def primes_up_to(n: int) -> list[int]:
    sieve = bytearray([1]) * (n + 1)
    sieve[:2] = bytes(len(sieve[:2]))
    for number in range(2, isqrt(n) + 1):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, n + 1, number)))
    return [number for number, is_prime in enumerate(sieve) if is_prime]


class PrimesForm(forms.Form):
    n = WholeNumberField(
        "Give n as a whole number in plain digits, for example n=1000000.",
        label="n",
        help_text="Count the primes from 2 to n.",
        max_value=MAX_N,
    )


PRIMES = Computation(
    name="primes",
    line="Counts the primes up to n, with a sieve.",
    about="""
    The sieve of Eratosthenes, a segment after the other: each number up to the root of n that is
    left strikes out its multiples. A chunk is a range of numbers, sieved by itself, and the counts
    of all are added up.

    Higher ranges take longer: more primes strike there. So chunks of the same size take unequal
    time, and workers that are done take the next.
    """,
    title=lambda n: f"primes up to {n:,}",
    form=PrimesForm,
    function=count_primes,
    length=lambda n: n,
    unit="integers",
    cut=lambda chunk_size, n: chunking.ranges(n, chunk_size),
    per_second=1e8,
    sample=((1, 1_000_000), 1_000_000),
    combine=sum,
)
