"""No reply goes on for longer than its process would live."""

from __future__ import annotations

import types
from collections.abc import Iterator

import pytest
from pytest_django import Settings

from compute.web import pacing
from compute.web.pacing import PIECE_BYTES, Deadline, LateError, in_time


@pytest.fixture
def clock(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clock says, where a reply may take 30 seconds."""
    settings.WEB_TIMEOUT = 30
    said = [100.0]
    monkeypatch.setattr(pacing, "time", types.SimpleNamespace(monotonic=lambda: said[0]))
    return said


def test_pieces_are_small() -> None:
    found = list(in_time([b"x" * (3 * PIECE_BYTES + 1), b"", b"y"]))
    assert [len(piece) for piece in found] == [PIECE_BYTES] * 3 + [1, 1]


def test_a_reply_is_broken_off_before_its_process_is_killed(
    clock: list[float], settings: Settings
) -> None:
    pieces = in_time([b"a", b"b", b"c"], 0.8)
    assert next(pieces) == b"a"
    clock[0] += 23.9
    assert next(pieces) == b"b"
    clock[0] += 0.2
    with pytest.raises(BrokenPipeError):
        next(pieces)
    settings.WEB_TIMEOUT = 0  # no limit
    pieces = in_time([b"a", b"b"])
    next(pieces)
    clock[0] += 10_000
    assert next(pieces) == b"b"


def test_a_deadline_is_a_share_of_the_limit(clock: list[float]) -> None:
    deadline = Deadline(0.5)
    clock[0] += 14.9
    deadline.check()
    clock[0] += 0.2
    with pytest.raises(LateError):
        deadline.check()
    Deadline(0.5, since=clock[0] - 14).check()
    with pytest.raises(LateError):
        Deadline(0.5, since=clock[0] - 16).check()


def test_what_is_removed_meanwhile_breaks_off() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"a"
        raise LookupError("part 2 of a result has been removed")

    found = in_time(pieces())
    assert next(found) == b"a"
    with pytest.raises(BrokenPipeError, match="part 2"):
        next(found)
