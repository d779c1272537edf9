"""What an operator asks of a node, as its guard looks it up and its workers obey it."""

from __future__ import annotations

import logging
import time

from django.db import Error, connection
from django.db.models import Exists

from .. import pauses
from ..logs import seldom
from ..models import Node
from ..text import one_line
from .board import Board
from .channels import Bell
from .sign import SIGN_S

log = logging.getLogger(__name__)


class Steering:
    """A guard's, which calls `turn` again and again."""

    def __init__(self, node: str, board: Board, bell: Bell) -> None:
        self.node = node
        self.board = board
        self.bell = bell
        #: When it was looked up last; 0 before that could be.
        self.asked = 0.0
        whole = Exists(pauses.pauses().filter(kind=""))
        row = Node.objects.filter(pk=node)
        asked = row.values_list("draining", whole, Exists(pauses.out_of_step()))
        #: The statement of `look`: to make it anew took most of what an idle node did.
        self.statement = asked.order_by().query.sql_with_params()

    def turn(self) -> None:
        """Look once a second; if the database is away, things stay as they are."""
        now = time.monotonic()
        if now - self.asked < SIGN_S:
            return
        try:
            self.look()
        except Error as error:
            seldom(log, "nobody steers this node: %s", one_line(error))
        else:
            self.asked = now

    def look(self) -> None:
        """Note whether the node drains and its queue is paused, and have flows paused as their
        kinds are. One statement if nothing has changed."""
        with connection.cursor() as cursor:
            cursor.execute(*self.statement)
            asked = cursor.fetchone()
        if asked is None:  # its next sign of life makes the row anew
            return
        head, claimed = self.board.head, self.board.head.claims
        head.draining, head.paused, out_of_step = asked
        if head.claims and not claimed:
            self.bell.ring()
        if out_of_step:
            pauses.set_right()
