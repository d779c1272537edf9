"""The tutorial's tasks: plain functions that the queue runs. No Django in here.

The loops stand for any heavy computation, so there is no clever formula in their
place. A task is a callable whose arguments can be pickled and whose result nobody
needs before the HTTP response is sent.
"""


def get_sum(n: int) -> int:
    """1 + 2 + … + n."""
    total = 0
    for i in range(1, n + 1):
        total += i
    return total


def get_sum_buggy(n: int) -> int:
    """1 + 2 + … + n, if it were not for the bug that the tutorial lets you find."""
    total = 0
    for i in range(1, n + 1):
        total += i
        if i == 1234567:
            print("still adding, now at " + i)  # type: ignore[operator]
    return total


def get_sum_range(n: int, m: int) -> int:
    """n + (n + 1) + … + m, both ends included: one chunk of a sum."""
    total = 0
    for i in range(n, m + 1):
        total += i
    return total
