"""Sums of a CSV file's columns; each chunk reads the lines that begin in its bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.validators import FileExtensionValidator

from compute import files
from compute.computation import Computation


def sums(file: files.StoredFile, start: int, stop: int) -> list[int]:
    """The sum of each column over the lines that begin from byte `start` up to `stop`."""
    with files.open(file) as data:
        data.seek(max(0, start - 1))
        data.readline()  # the header, or the line that began before
        totals: list[int] = []
        while data.tell() < stop and (line := data.readline()):
            cells = [int(cell) for cell in line.split(b",")]
            totals = [a + b for a, b in zip(totals or [0] * len(cells), cells, strict=True)]
    return totals


def added_up(results: Iterable[list[int]]) -> list[int]:
    return [sum(column) for column in zip(*filter(None, results), strict=True)]


class ColumnsForm(forms.Form):
    file = forms.FileField(
        label="CSV file",
        help_text="Whole numbers, below one line of names.",
        validators=[FileExtensionValidator(["csv"])],
    )

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        with file.open():
            if b"," not in file.readline():
                raise forms.ValidationError("The first line has to have the names of the columns.")
        return file


COLUMNS = Computation(
    name="columns",
    line="Adds up the columns of a CSV file.",
    title=lambda file: f"columns of {file}",
    form=ColumnsForm,
    function=sums,
    length=lambda file: file.size,
    unit="bytes",
    cut=lambda chunk_size, file: [
        (file, start, min(start + chunk_size, file.size))
        for start in range(0, file.size, chunk_size)
    ],
    combine=added_up,
    show=lambda sums: ", ".join(map(str, sums)),
)
