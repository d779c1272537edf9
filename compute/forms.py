"""What starts a run: a computation's own form, and the size of the chunks."""

from __future__ import annotations

from typing import Any

from django import forms

from .chunking import MAX_CHUNKS, smallest_chunk_size
from .computation import Computation
from .fields import WholeNumberField


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
        cleaned = super().clean()
        chunk_size = self.cleaned_data.get("chunk_size")
        if chunk_size is None or self.errors or self.computation.length is None:
            return cleaned
        length = self.computation.length_of(self.parameters) or 0
        smallest = smallest_chunk_size(length)
        if chunk_size < smallest:
            self.add_error(
                "chunk_size",
                f"Give a chunk_size of at least {smallest:,}: a smaller one would cut this "
                f"into more than {MAX_CHUNKS:,} chunks.",
            )
        # A chunk is no larger than the whole.
        self.cleaned_data["chunk_size"] = min(chunk_size, max(length, 1))
        return cleaned

    @property
    def parameters(self) -> dict[str, Any]:
        """What the computation's own form has cleaned."""
        return {key: value for key, value in self.cleaned_data.items() if key != "chunk_size"}


def form_for(computation: Computation, chunked: bool = True) -> type[ChunkSizeForm]:
    """The computation's form, and a field for the chunk size if it can be cut, and shall be."""
    fields = {"computation": computation}
    if computation.cut is None or not chunked:
        fields["chunk_size"] = None  # type: ignore[assignment]
    return type("StartForm", (ChunkSizeForm, computation.form), fields)
