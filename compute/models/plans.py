"""Runs that are about to start: in which chunks, and how they begin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from django.conf import settings
from django.db import DatabaseError, transaction
from django_q.tasks import async_task

from .. import chance, chunking
from ..computation import Computation, ComputationError
from ..queue.broker import DatabaseBroker, set_apart, sharing
from ..queue.fanout import async_iter
from ..queue.models import Node
from ..queue.text import one_line
from .asked import as_kept, function_of
from .combining import combine
from .notes import refresh
from .run import Run
from .speed import speed_of


class Plan(NamedTuple):
    """A run that can be started, as an author's callables have told it.

    Made before the transaction that queues it, so that none is held while their code runs.
    """

    computation: Computation
    function: Callable[..., Any]
    parameters: dict[str, Any]
    title: str
    #: The arguments of each call, and how large a chunk is; None for one task.
    chunks: list[tuple[Any, ...]]
    chunk_size: int | None = None
    length: int | None = None
    why: str = ""
    #: The seed that its chunks' are made of; None for a computation without.
    seed: int | None = None
    #: Its priority beside others; empty for the one that its computation says.
    priority: str = ""

    def start(self) -> Run:
        """Queue it; run and tasks, or nothing. ComputationError if its arguments can't travel."""
        broker = shared(self.computation, self.priority)
        named: dict[str, Any] = {"task_name": self.title, "broker": broker}
        own = chance.keywords(self.seed, len(self.chunks))
        try:
            with transaction.atomic():
                if self.chunk_size is None:
                    task_id = async_task(self.function, *self.chunks[0], **named, **own[0])
                else:
                    named["q_options"] = {"keywords": own}
                    task_id = async_iter(self.function, self.chunks, **named)
                return run_of(
                    task_id,
                    self.computation,
                    self.parameters,
                    title=self.title,
                    chunk_size=self.chunk_size,
                    chunks=len(self.chunks),
                    why=self.why,
                    seed=self.seed,
                )
        except DatabaseError:
            raise
        except Exception as error:  # whatever pickling the arguments may raise
            raise ComputationError(
                f"{self.computation}: its tasks can't be queued: {one_line(error)}."
            ) from error


def shared(computation: Computation, priority: str = "") -> DatabaseBroker:
    """Puts a run's tasks in a flow of its own, as its computation says."""
    name = computation.name
    return sharing(
        priority=priority or computation.priority,
        at_once=computation.at_once,
        pool=f"computation {name}" if computation.at_once else "",
        kind=name,
    )


def plan(
    computation: Computation,
    parameters: dict[str, Any],
    chunk_size: int | None = None,
    seed: int | None = None,
) -> Plan:
    """A computation cut into chunks if it can be; ComputationError if its code is wrong.

    What makes use of chance gets this seed, or one that is drawn.
    """
    if computation.seed and seed is None:
        seed = chance.drawn()
    if computation.cut is None:
        return plan_one(computation, computation.function, parameters, seed)
    why = ""
    if chunk_size is None:
        chunk_size, why = best_chunk_size(computation, parameters)
    chunks = computation.chunks_of(chunk_size, parameters)
    return Plan(
        computation,
        computation.function,
        parameters,
        computation.titled(parameters),
        chunks,
        chunk_size,
        computation.length_of(parameters),
        why,
        seed,
    )


def plan_one(
    computation: Computation,
    function: Callable[..., Any],
    parameters: dict[str, Any],
    seed: int | None = None,
) -> Plan:
    """One task that does it all, called with the parameters."""
    title, chunks = computation.titled(parameters), [tuple(parameters.values())]
    return Plan(computation, function, parameters, title, chunks, seed=seed)


def best_chunk_size(computation: Computation, parameters: dict[str, Any]) -> tuple[int, str]:
    """The chunk size that the site chooses for something that can be cut, and why."""
    length = computation.length_of(parameters)
    return chunking.best_chunk_size(
        1 if length is None else length,
        speed_of(computation),
        Node.objects.workers() or settings.Q_WORKERS,
    )


def run_of(
    task_id: str, computation: Computation, parameters: dict[str, Any], **fields: Any
) -> Run:
    """The run of a task, or of a group of them, that has been queued."""
    if "title" not in fields:
        fields["title"] = computation.titled(parameters)
    run = Run.objects.create(
        task_id=task_id,
        computation=computation.name,
        function=function_of(computation),
        parameters=as_kept(parameters),
        **fields,
    )
    if not run.chunks:
        refresh(run)  # nothing will end, so nobody would be told
    elif not run.jobs.exclude(queue_id=None).exists():  # they ran in the request (`sync=True`)
        combine(task_id)
        run.refresh_from_db()
    elif run.chunk_size is None and not run.flow.exists():  # the tutorial just queues a task
        set_apart(task_id, shared(computation))
    return run
