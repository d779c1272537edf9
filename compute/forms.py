"""What starts a run: a computation's own form, and the size of the chunks."""

from __future__ import annotations

from typing import Any, NamedTuple

from django import forms

from .chunking import MAX_CHUNKS, smallest_chunk_size
from .computation import Computation
from .fields import WholeNumberField
from .given import Given, of_form


class ChunkSizeForm(forms.Form):
    """Stands before a computation's form, which has been cleaned when `clean` is called."""

    computation: Computation

    chunk_size = WholeNumberField(
        "Give chunk_size as a whole number of 1 or more, or leave it out.",
        label="Chunk size",
        help_text="How much goes into a chunk; chosen by the site if left empty.",
        required=False,
    )

    def clean_chunk_size(self) -> int | None:
        chunk_size: int | None = self.cleaned_data["chunk_size"]
        if chunk_size is not None and chunk_size < 1:
            raise forms.ValidationError(self.fields["chunk_size"].error_messages["invalid"])
        return chunk_size

    def clean(self) -> dict[str, Any] | None:
        # The computation's own form is not to meet a field that is none of its own.
        chunk_size = self.cleaned_data.pop("chunk_size", None)
        cleaned = super().clean()
        self.cleaned_data = self.cleaned_data if cleaned is None else cleaned
        if not isinstance(self.cleaned_data, dict):
            return cleaned  # the author will be told
        if "chunk_size" in self.fields and "chunk_size" not in self.errors:
            self.cleaned_data["chunk_size"] = chunk_size
        if chunk_size is None or self.errors or self.computation.length is None:
            return None
        length = self.computation.length_of(self.parameters) or 0
        smallest = smallest_chunk_size(length)
        if chunk_size < smallest:
            self.add_error(
                "chunk_size",
                f"Give a chunk_size of at least {smallest:,}: a smaller one would cut this "
                f"into more than {MAX_CHUNKS:,} chunks.",
            )
        else:
            # A chunk is no larger than the whole.
            self.cleaned_data["chunk_size"] = min(chunk_size, max(length, 1))
        return None

    @property
    def parameters(self) -> dict[str, Any]:
        """What the computation's own form has cleaned."""
        return {key: value for key, value in self.cleaned_data.items() if key != "chunk_size"}

    @property
    def given(self) -> Given:
        """What the computation's own form was filled in with."""
        return of_form(self, self.data)


def filled_in(computation: Computation, data: Any = None, chunked: bool = True) -> ChunkSizeForm:
    """The form, cleaned if there is something given. ComputationError if its code is wrong."""
    return computation.made(form_for(computation, chunked), data)


class Shown(NamedTuple):
    """A field as a page shows it."""

    field: forms.BoundField
    html: str
    label: str
    help_text: str
    errors: list[str]
    several: bool


def shown(form: ChunkSizeForm) -> list[Shown]:
    """The fields, each drawn: an author's widget may raise, and then ComputationError is
    raised here, and nothing in the midst of a page."""
    with form.computation.blaming("form"):
        return [
            Shown(
                field,
                str(field),
                str(field.label),
                str(field.help_text),
                [str(error) for error in field.errors],
                field.use_fieldset,
            )
            for field in form
        ]


def form_for(computation: Computation, chunked: bool = True) -> type[ChunkSizeForm]:
    """The computation's form, and a field for the chunk size if it can be cut, and shall be."""
    fields = {"computation": computation}
    if computation.cut is None or not chunked:
        fields["chunk_size"] = None  # type: ignore[assignment]
    return type("StartForm", (ChunkSizeForm, computation.form), fields)
