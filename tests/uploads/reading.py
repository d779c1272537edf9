"""Functions that read a file: some of it, or all of it in pieces."""

from __future__ import annotations

from compute.files import StoredFile


def read_some(file: StoredFile, start: int, count: int) -> bytes:
    with file.open() as data:
        data.seek(start)
        return data.read(count)


def read_all(file: StoredFile) -> int:
    with file.open() as data:
        return sum(map(len, iter(lambda: data.read(100_000), b"")))


def read_them(pages: list[StoredFile]) -> str:
    return "".join(page.open().read().decode() for page in pages)
