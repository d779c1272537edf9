"""A node: the processes of one `manage.py qcluster`, from start to a quiet stop.

    supervisor        gets the signals; starts a fresh guard if one dies or freezes
    ├── sweeper       ends all of the node's processes, should the supervisor be killed
    └── guard         replaces what dies, renews leases, gives the node's signs of life
        ├── listener  wakes idle workers when a commit may have queued something
        ├── reporter  tells those who listen that a task has run
        ├── scheduler queues tasks whose time has come
        └── workers   claim tasks and run them, one at a time each

The guard leads a process group of its own, so that a terminal's Ctrl-C or a process manager's
signal reaches the supervisor alone. Each worker leads another: what a task sends to its group
reaches what it has started, and nobody else. A kill of each group sweeps all below the supervisor.
No process outlives its parent, however that died, and none that a task has started outlives the
task.
"""
