"""The form that starts a run: a computation's own, and what the site itself asks for beside it: the
size of the chunks and, of what makes use of chance, the seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

from django import forms
from django.db.models import Model, QuerySet
from django.forms.renderers import TemplatesSetting

from . import files
from .chance import MOST
from .chunking import MAX_CHUNKS, smallest_chunk_size
from .computation import Computation, described
from .fields import WholeNumberField
from .given import Given, completed, of_form, suffixes_of, takes_several


class ChunkSizeField(WholeNumberField):
    """How large the chunks of the run shall be."""

    def __init__(self) -> None:
        super().__init__(
            "Give chunk_size as a whole number of 1 or more, or leave it out.",
            label="Chunk size",
            help_text="How much goes into a chunk; chosen by the site if left empty.",
            required=False,
        )

    def to_python(self, value: object) -> int | None:  # type: ignore[override]
        chunk_size = super().to_python(value)
        if chunk_size == 0:
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        return chunk_size


class SeedField(WholeNumberField):
    """What the chance of the run shall be made of."""

    def __init__(self) -> None:
        super().__init__(
            "Give seed as a whole number in plain digits, or leave it out.",
            label="Seed",
            help_text="The same seed and chunk size repeat a run exactly; drawn if left empty.",
            max_value=MOST,
            required=False,
        )


def form_for(computation: Computation, chunked: bool = True) -> type[forms.Form]:
    """The computation's form, with fields for the chunk size, if it can and shall be cut, and for
    the seed. Without these two where many runs are started, each in chunks of another size.

    All else that the site asks of it is a function beside it: a class of an author's may have
    methods and attributes of any name.
    """

    def clean(form: forms.Form) -> None:
        clean_both(computation, form, super(kind, form).clean)

    fields: dict[str, Any] = {}
    if computation.cut is not None and chunked:
        fields["chunk_size"] = ChunkSizeField()
    if computation.seed and chunked:
        fields["seed"] = SeedField()
    kind: Any = type("StartForm", (computation.form,), {**fields, "clean": clean})
    return cast(type[forms.Form], kind)


def clean_both(
    computation: Computation, form: forms.Form, clean: Callable[[], dict[str, Any] | None]
) -> None:
    """Clean the form as its author does, and the chunk size by what comes of that."""
    # The computation's own form is not to see a field that it did not declare.
    own = {name: form.cleaned_data.pop(name, None) for name in names_of_site(form)}
    cleaned = clean()
    form.cleaned_data = form.cleaned_data if cleaned is None else cleaned
    if not isinstance(form.cleaned_data, dict):
        return  # the author will be told
    there = form.fields.keys() - form.errors.keys()
    form.cleaned_data |= {name: value for name, value in own.items() if name in there}
    chunk_size = own.get("chunk_size")
    if chunk_size is None or form.errors or computation.length is None:
        return
    length = computation.length_of(parameters_of(form)) or 0
    smallest = smallest_chunk_size(length)
    if chunk_size < smallest:
        form.add_error(
            "chunk_size",
            f"Give a chunk_size of at least {smallest:,}: a smaller one would cut this "
            f"into more than {MAX_CHUNKS:,} chunks.",
        )
    else:
        # A chunk is no larger than the whole.
        form.cleaned_data["chunk_size"] = min(chunk_size, max(length, 1))


# --- what was filled in -------------------------------------------------------------------


def names_of_site(form: forms.Form) -> list[str]:
    """The names of the fields that are not the computation's."""
    own = (ChunkSizeField, SeedField)
    return [name for name, field in form.fields.items() if isinstance(field, own)]


def parameters_of(form: forms.Form) -> dict[str, Any]:
    """The values that the computation's own form has cleaned."""
    values, own = files.stored_in(form.cleaned_data), names_of_site(form)
    # In the order of the fields, whatever `clean` makes of it: a function may go by that.
    names = dict.fromkeys([*form.fields, *values])
    return {name: values[name] for name in names if name in values and name not in own}


def seed_of(form: forms.Form) -> int | None:
    """The seed that somebody has given; None for one that is to be drawn."""
    return form.cleaned_data.get("seed") if "seed" in names_of_site(form) else None


def given_in(form: forms.Form) -> Given:
    """The texts that the computation's own form was filled in with."""
    own = names_of_site(form)
    return {name: texts for name, texts in of_form(form, form.data).items() if name not in own}


def filled_in(
    computation: Computation, data: Any = None, chunked: bool = True, boxes: bool = False
) -> forms.Form:
    """The form, cleaned if there is something given, with what was left out as it is at first; for
    `boxes` see `given.completed`. ComputationError if its code is wrong."""
    kind = form_for(computation, chunked)
    if data is None:
        return computation.made(kind)
    with computation.running("form"):
        data = completed(computation.made(kind), data, boxes)
    form = computation.made(kind, data)
    if form.is_valid():
        check_plain(computation, parameters_of(form))
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


def shown(computation: Computation, form: forms.Form) -> list[Shown]:
    """The fields, each drawn: if an author's widget raises, it is a ComputationError here, and
    not an error in the midst of a page."""
    with computation.running("form"):
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
