"""How the queue tells others, without knowing them, what became of their tasks."""

from django.dispatch import Signal

#: Sent with `groups`, a set of ids: all jobs of each have settled (by the node, after the
#: last one's commit, perhaps more than once), or settled ones are queued again (inside
#: that transaction, and with `at_work=True`: each group has something to do from its commit
#: on). A crash between commit and signal loses it: the rows decide, so a receiver reads
#: them, and whoever shows a group reads them too.
groups_changed = Signal()

#: Sent by every node's reporter each few seconds: the time to look for what somebody who died
#: has left undone. A receiver does no more than ask the database, and queue tasks.
looking_around = Signal()

#: Sent with `reloader`, when a node begins to watch its code (in development): a receiver
#: calls its `watch_dir` for folders whose files the node shall have, also those that it
#: has not imported (a new one, or one that could not be).
watching = Signal()

#: Sent with `task_ids`, when tasks of Django's framework may have ended without a worker that
#: could tell of it: it died once too often, a guard ended it, somebody cancelled. Within the
#: transaction, and perhaps by a guard: a receiver does no more than queue a task.
ended_elsewhere = Signal()
