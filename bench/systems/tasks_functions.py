"""The functions as Django's Tasks framework wants them: decorated, and found by name in a module,
which can be imported only once there are settings."""

from django.tasks import task

from bench import functions


@task
def noop() -> bool:
    return functions.noop()


@task
def stamp(address: str, number: int) -> int:
    return functions.stamp(address, number)


@task
def hold(address: str, seconds: int) -> None:
    functions.hold(address, seconds)


@task
def sum_range(first: int, last: int) -> int:
    return functions.sum_range(first, last)


TASKS = {"noop": noop, "stamp": stamp, "hold": hold, "sum_range": sum_range}
