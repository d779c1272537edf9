"""Hosts for tests, each with a network of its own, plugged into a switch that can cut one off.

Hosts are network namespaces of Linux; the switch is a bridge in a namespace of its own, so
that nothing of it is to be seen on the machine itself, no packet leaves it, and two runs
at once have the same addresses without meeting. Where namespaces can't be had (no root, no
iproute2, a container without the right to it) hosts are groups of processes on this
machine's loopback, and one that is cut off is stopped for the time.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import psutil

from tests import database
from tests.processes import Process, free_port

T = TypeVar("T")
SUBNET = "10.77.0"


class NotSeparableError(Exception):
    """Network namespaces can't be had here; says why."""


class Separated:
    """Namespaces on a switch. The tests' own place in the network is the host "client"."""

    def __init__(self) -> None:
        self.name = f"{database.FOLDER.name}-{uuid.uuid4().hex[:6]}"
        self.addresses: dict[str, str] = {}
        self.client: ThreadPoolExecutor | None = None

    def open(self) -> None:
        if os.geteuid() != 0:
            raise NotSeparableError("it takes root")
        if shutil.which("ip") is None:
            raise NotSeparableError("ip is not installed; on Debian: apt-get install iproute2")
        try:
            ip("netns", "add", self.namespace("switch"))
            ip("-n", self.namespace("switch"), "link", "add", "switch", "type", "bridge")
            ip("-n", self.namespace("switch"), "link", "set", "switch", "up")
            self.add("client")
        except subprocess.CalledProcessError as error:
            raise NotSeparableError(error.stderr.strip()) from None
        self.client = ThreadPoolExecutor(1, initializer=enter, initargs=(self.namespace("client"),))

    def namespace(self, host: str) -> str:
        return f"{self.name}-{host}"

    def add(self, host: str) -> str:
        """A new host, and its address."""
        switch, namespace = self.namespace("switch"), self.namespace(host)
        address = self.addresses[host] = f"{SUBNET}.{len(self.addresses) + 1}"
        ip("netns", "add", namespace)
        cable = ("type", "veth", "peer", "name", "eth0", "netns", namespace)
        ip("-n", switch, "link", "add", host, *cable)
        ip("-n", switch, "link", "set", host, "master", "switch", "up")
        ip("-n", namespace, "address", "add", f"{address}/24", "dev", "eth0")
        ip("-n", namespace, "link", "set", "eth0", "up")
        ip("-n", namespace, "link", "set", "lo", "up")
        return address

    @staticmethod
    def port() -> int:
        return 8000

    def command(self, host: str, *command: str) -> tuple[str, ...]:
        """That command as it is run on the host, under the host's name."""
        named = ("unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', host)
        return ("ip", "netns", "exec", self.namespace(host), *named, *command)

    def ask(self, question: Callable[[], T]) -> T:
        """What `question` returns when it is asked from within the network."""
        assert self.client is not None
        return self.client.submit(question).result()

    def cut_off(self, host: str, *processes: Process) -> None:
        """Pull the host's cable, at the switch's end. Its processes go on and are told nothing."""
        ip("-n", self.namespace("switch"), "link", "set", host, "down")

    def plug_in(self, host: str, *processes: Process) -> None:
        ip("-n", self.namespace("switch"), "link", "set", host, "up")

    def close(self) -> None:
        """Remove all of it. A namespace ends with its last process; those are not ended here."""
        if self.client is not None:
            self.client.shutdown()
        for namespace in self.left():
            ip("netns", "delete", namespace)

    def left(self) -> list[str]:
        """What there still is of this network."""
        if shutil.which("ip") is None:
            return []
        names = [line.split()[0] for line in ip("netns", "list").splitlines() if line]
        return [name for name in names if name.startswith(f"{self.name}-")]


class Unseparated:
    """The same on one machine: who is cut off is stopped, whole, and knows nothing of it."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def open(self) -> None:
        pass

    def add(self, host: str) -> str:
        return "127.0.0.1"

    @staticmethod
    def port() -> int:
        return free_port()

    def command(self, host: str, *command: str) -> tuple[str, ...]:
        return command

    def ask(self, question: Callable[[], T]) -> T:
        return question()

    def cut_off(self, host: str, *processes: Process) -> None:
        self.signal(signal.SIGSTOP, *processes)

    def plug_in(self, host: str, *processes: Process) -> None:
        self.signal(signal.SIGCONT, *processes)

    @staticmethod
    def signal(number: int, *processes: Process) -> None:
        for process in processes:
            for member in process.family():
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.send_signal(number)

    def close(self) -> None:
        pass

    def left(self) -> list[str]:
        return []


Network = Separated | Unseparated


@contextlib.contextmanager
def network(separated: bool = True) -> Iterator[Network]:
    """A network, separated if asked for and possible. However this ends, nothing of it is left."""
    found: Network = Separated() if separated else Unseparated("not asked for")
    try:
        try:
            found.open()
        except NotSeparableError as reason:
            found.close()
            found = Unseparated(str(reason))
        yield found
    finally:
        found.close()


def ip(*arguments: str) -> str:
    return subprocess.run(
        ["ip", *arguments], check=True, capture_output=True, text=True, timeout=30
    ).stdout


def enter(namespace: str) -> None:
    """Put the calling thread into a network namespace; the sockets it makes are of there."""
    CLONE_NEWNET = 0x40000000
    with open(f"/run/netns/{namespace}") as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
