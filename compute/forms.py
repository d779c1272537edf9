"""The form that starts a run: a computation's own, and what the site itself asks for beside it: the
size of the chunks and, of what makes use of chance, the seed."""

from __future__ import annotations

from typing import Any, NamedTuple

from django import forms
from django.db.models import Model, QuerySet
from django.forms.renderers import TemplatesSetting

from . import files
from .chance import MOST
from .chunking import MAX_CHUNKS, smallest_chunk_size
from .computation import Computation, described
from .fields import WholeNumberField
from .given import Given, completed, of_form, suffixes_of, takes_several


class ChunkSizeForm(forms.Form):
    """Stands before a computation's form, which has been cleaned when `clean` is called."""

    computation: Computation

    chunk_size = WholeNumberField(
        "Give chunk_size as a whole number of 1 or more, or leave it out.",
        label="Chunk size",
        help_text="How much goes into a chunk; chosen by the site if left empty.",
        required=False,
    )

    @property
    def own(self) -> tuple[str, ...]:
        """The names of the fields that are not the computation's."""
        return ("chunk_size", "seed") if self.computation.seed else ("chunk_size",)

    def clean_chunk_size(self) -> int | None:
        chunk_size: int | None = self.cleaned_data["chunk_size"]
        if chunk_size is not None and chunk_size < 1:
            raise forms.ValidationError(self.fields["chunk_size"].error_messages["invalid"])
        return chunk_size

    def clean(self) -> dict[str, Any] | None:
        # The computation's own form is not to see a field that it did not declare.
        own = {name: self.cleaned_data.pop(name, None) for name in self.own}
        cleaned = super().clean()
        self.cleaned_data = self.cleaned_data if cleaned is None else cleaned
        if not isinstance(self.cleaned_data, dict):
            return cleaned  # the author will be told
        there = self.fields.keys() - self.errors.keys()
        self.cleaned_data |= {name: value for name, value in own.items() if name in there}
        chunk_size = own["chunk_size"]
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
        """The values that the computation's own form has cleaned."""
        values = files.stored_in(self.cleaned_data)
        # In the order of the fields, whatever `clean` makes of it: a function may go by that.
        names = dict.fromkeys([*self.fields, *values])
        return {name: values[name] for name in names if name in values and name not in self.own}

    @property
    def seed_given(self) -> int | None:
        """The seed that somebody has given; None for one that is to be drawn."""
        return self.cleaned_data.get("seed") if self.computation.seed else None

    @property
    def given(self) -> Given:
        """The texts that the computation's own form was filled in with."""
        found = of_form(self, self.data)
        return {name: texts for name, texts in found.items() if name not in self.own}


def filled_in(
    computation: Computation, data: Any = None, chunked: bool = True, boxes: bool = False
) -> ChunkSizeForm:
    """The form, cleaned if there is something given, with what was left out as it is at first; for
    `boxes` see `given.completed`. ComputationError if its code is wrong."""
    kind = form_for(computation, chunked)
    if data is None:
        return computation.made(kind)
    with computation.blaming("form"):
        data = completed(computation.made(kind), data, boxes)
    form = computation.made(kind, data)
    if form.is_valid():
        check_plain(computation, form.parameters)
    return form


def check_plain(computation: Computation, parameters: dict[str, Any]) -> None:
    """ComputationError for rows of the database: a chunk would work with what they were."""
    for name, value in parameters.items():
        if isinstance(value, Model | QuerySet):
            computation.blame(
                "form",
                f"cleaned {name} to {described(value)}, and a run can't keep rows of the "
                f"database; return their keys from clean_{name}",
            )


# --- how a page shows it --------------------------------------------------------------------


class Shown(NamedTuple):
    """A field as a page shows it."""

    name: str
    #: With its label, its help and its errors, unless it is hidden.
    html: str
    help_text: str
    #: Of a hidden field, which stand apart.
    errors: list[str]


def shown(form: ChunkSizeForm) -> list[Shown]:
    """The fields, each drawn: if an author's widget raises, it is a ComputationError here, and
    not an error in the midst of a page."""
    with form.computation.blaming("form"):
        return [
            Shown(
                field.name,
                drawn(field),
                str(field.help_text),
                [str(error) for error in field.errors] if field.is_hidden else [],
            )
            for field in form
        ]


#: Finds templates where those of the pages are.
OF_THE_SITE = TemplatesSetting()


def drawn(field: forms.BoundField) -> str:
    """The HTML of a field: by its own template if its author gave it one, else by the site's."""
    if field.is_hidden:
        return str(field)
    name_parts(field.field.widget)
    if getattr(field.field, "template_name", None):
        return field.as_field_group()
    context = {
        "field": field,
        "kept": files.kept_for(field.form, field.name),
        "several": takes_several(field.field.widget),
        "box": isinstance(field.field.widget, forms.CheckboxInput),
    }
    return field.render("compute/_field.html", context, OF_THE_SITE)


class PartOfDate(forms.Select):
    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        part = name.rpartition("_")[2]  # year, month or day
        return super().get_context(name, value, {**(attrs or {}), "aria-label": part})


def name_parts(widget: forms.Widget) -> None:
    """Give each part of a widget a name for those who don't see where it stands."""
    if isinstance(widget, forms.SelectDateWidget):
        if widget.select_widget is forms.Select:
            widget.select_widget = PartOfDate
    elif isinstance(widget, forms.MultiWidget):
        parts = zip(suffixes_of(widget), widget.widgets, strict=True)
        for number, (suffix, part) in enumerate(parts, 1):
            word = "date" if isinstance(part, forms.DateInput) else suffix.strip("_")
            word = "time" if isinstance(part, forms.TimeInput) else word
            word = f"part {number}" if word.isdigit() else word
            part.attrs.setdefault("aria-label", word)
            part.attrs.setdefault("placeholder", word)
            name_parts(part)


def form_for(computation: Computation, chunked: bool = True) -> type[ChunkSizeForm]:
    """The computation's form, with fields for the chunk size, if it can and shall be cut, and for
    the seed. Without these two where many runs are started, each in chunks of another size."""
    fields: dict[str, Any] = {"computation": computation}
    if computation.cut is None or not chunked:
        fields["chunk_size"] = None
    if computation.seed and chunked:
        fields["seed"] = WholeNumberField(
            "Give seed as a whole number in plain digits, or leave it out.",
            label="Seed",
            help_text="The same seed and chunk size repeat a run exactly; drawn if left empty.",
            max_value=MOST,
            required=False,
        )
    return type("StartForm", (ChunkSizeForm, computation.form), fields)
