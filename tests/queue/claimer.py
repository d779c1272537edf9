"""Claims and acknowledges until the queue is empty, in a process of its own.

    python -m tests.queue.claimer dotted.path.of.Broker

Prints the payloads in the order in which it got them.
"""

import sys

import django


def main() -> None:
    django.setup()
    from django.utils.module_loading import import_string
    from django_q.conf import Conf
    from django_q.models import OrmQ

    broker = import_string(sys.argv[1])(list_key=Conf.CLUSTER_NAME)
    while OrmQ.objects.exists():
        for ack_id, payload in broker.dequeue() or ():
            print(payload)
            broker.acknowledge(ack_id)


if __name__ == "__main__":
    main()
