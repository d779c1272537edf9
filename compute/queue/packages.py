"""A task as it travels through the queue, pickled and signed as django-q2 does it.

A package is signed with SECRET_KEY. It is read with that or one of SECRET_KEY_FALLBACKS, so
that a key can be changed while tasks are queued.
"""

from __future__ import annotations

import pickle
import re
from typing import Any

from django.core.signing import TimestampSigner
from django_q import core_signing
from django_q.conf import Conf
from django_q.signing import BadSignature, PickleSerializer

from .defaults import settings
from .text import one_line

#: The form of a signed package: the task, a time and the signature.
SIGNED = re.compile(r"[\w.-]+:[0-9A-Za-z]+:[\w-]{43}")


class ForeignError(BadSignature):
    """Signed, as it seems, but with no key of this site: by another, or before a change."""


def write(task: dict[str, Any]) -> str:
    """The package of a task, as `async_task` makes it."""
    signer = TimestampSigner(key=Conf.SECRET_KEY, salt=Conf.PREFIX)
    return str(signer.sign_object(task, PickleSerializer, compress=Conf.COMPRESSED))


def read(package: str, serializer: type[Any] = PickleSerializer) -> dict[str, Any]:
    """The task in a package, whose signature is checked before anything is unpickled, by
    `serializer`.

    Raises ForeignError, BadSignature for what is not signed at all, TypeError for what has
    not the shape of a task, and whatever else unpickling raises: ImportError and
    AttributeError where this code lacks what is named.
    """
    for key in (Conf.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS):
        try:
            task = core_signing.loads(package, key=key, salt=Conf.PREFIX, serializer=serializer)
        except BadSignature:
            continue
        return checked(task)
    if SIGNED.fullmatch(package):
        raise ForeignError("it was signed with another SECRET_KEY")
    raise BadSignature("it is not signed")


def checked(task: Any) -> dict[str, Any]:
    if not (
        isinstance(task, dict)
        and task.keys() >= {"id", "name", "func"}
        and isinstance(task.get("args"), tuple | list)
        and isinstance(task.get("kwargs"), dict)
    ):
        raise TypeError("it has not the shape of a task")
    return task


def read_back(package: str) -> dict[str, Any] | None:
    """The task in a package that is about to be queued; None if this site has not signed it.

    TypeError if no worker could read it.
    """
    try:
        return read(package)
    except BadSignature:
        return None
    except Exception as error:  # whatever a pickle may raise
        raise unreadable(error) from error


def unreadable(error: Exception) -> TypeError:
    return TypeError(f"a worker could not read this task: {one_line(error)}")


def check(*parts: Any) -> None:
    """TypeError if no worker could read these parts of a task."""
    try:
        pickle.loads(pickle.dumps(parts, protocol=pickle.HIGHEST_PROTOCOL))
    except Exception as error:  # whatever a pickle may raise
        raise unreadable(error) from error
