"""Ends a node's processes when its supervisor was killed, and could not do so itself.

On Linux the kernel ends those of ours; elsewhere one that runs a task would not look up, and
nowhere would those look that a task has started. The supervisor alone holds the writing end of
a pipe, so the pipe's end is its own.
"""

from __future__ import annotations

import os
import signal
import struct

from .board import Board
from .processes import Child, end_groups

GROUP = struct.Struct("q")


class Sweeper(Child):
    is_bound = False

    def __init__(self, board: Board) -> None:
        self.board = board
        self.outlet, inlet = os.pipe()
        self.inlet: int | None = inlet
        super().__init__("sweeper", sweep, self.outlet, board)
        os.register_at_fork(after_in_child=self.let_go)

    def let_go(self) -> None:
        """In each process that is forked from here: it is no holder of the pipe."""
        if self.inlet is not None:
            os.close(self.inlet)
            self.inlet = None

    def mind(self, group: int) -> None:
        """Tell which process group it would have to end; 0 for none."""
        if self.inlet is not None:
            os.write(self.inlet, GROUP.pack(group))

    def finish(self) -> None:
        self.let_go()
        self.end(within_s=1)


def sweep(outlet: int, board: Board) -> None:
    """The sweeper's process."""
    os.setpgid(0, 0)  # a terminal's Ctrl-C is not for it
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    group = 0
    while message := os.read(outlet, GROUP.size):
        (group,) = GROUP.unpack(message)
    if group:
        end_groups([group])  # first, so that no other worker is started
        end_groups(board.groups())
