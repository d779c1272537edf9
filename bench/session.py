"""`python -m bench.session NAME MEASURE`: one system and one measure in a process of its own.

For each line of options on its input it measures once, and prints what it found as a line
of JSON. bench/run.py starts it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from importlib import import_module

from bench.system import Nodes, Place
from bench.systems import load


def main(name: str, measure: str) -> None:
    # A signal to all of bin/bench comes here, too, and nodes are stopped on the way.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not stand between them
    system = load(name, Place(*json.loads(os.environ["BENCH_PLACE"])))
    nodes = Nodes(system)
    module = import_module(f"bench.measures.{measure}")
    try:
        system.prepare()
        for line in sys.stdin:
            found = module.measure(name, system, nodes, json.loads(line))
            print(json.dumps(found), file=answers, flush=True)
    except Exception as error:
        traceback.print_exc()
        print(nodes.logs(), file=sys.stderr)
        message = " ".join(str(error).split())[:300]
        print(json.dumps({"error": f"{type(error).__name__}: {message}"}), file=answers, flush=True)
        sys.exit(1)
    finally:
        nodes.stop()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
