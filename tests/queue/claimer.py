"""Claims and acknowledges until the queue is empty, in a process of its own.

    python -m tests.queue.claimer ours|dotted.path.of.Broker

Prints the payloads in the order in which it got them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import django


def main() -> None:
    django.setup()
    from django_q.models import OrmQ

    claimed = by_us if sys.argv[1] == "ours" else by_broker
    while OrmQ.objects.exists():
        for payload in claimed():
            print(payload)


def by_us() -> Iterator[str]:
    from django_q.conf import Conf
    from django_q.models import OrmQ

    from compute.queue.transitions import claim

    claims = claim(Conf.CLUSTER_NAME, 1, None)
    if not claims:
        time.sleep(Conf.POLL)
    for lease, payload in claims:
        yield payload
        OrmQ.objects.filter(pk=lease.queue_id).delete()


def by_broker() -> Iterator[str]:
    from django.utils.module_loading import import_string
    from django_q.conf import Conf

    broker = import_string(sys.argv[1])(list_key=Conf.CLUSTER_NAME)
    for ack_id, payload in broker.dequeue() or ():
        yield payload
        broker.acknowledge(ack_id)


if __name__ == "__main__":
    main()
