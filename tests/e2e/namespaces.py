"""Hosts of the tests' own: network namespaces around one switch, whose cables can be pulled."""

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

SUBNET = "10.77.0"
NETWORK = f"{SUBNET}.0/24"
_NUMBERS = itertools.count(1)

needs_namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None,
    reason="network namespaces need root and the program ip (package iproute2)",
)


class Network:
    """Hosts with an address each; the first one is the switch that the others are plugged into."""

    def __init__(self, names: Sequence[str]) -> None:
        prefix = f"farm-{os.getpid()}-{next(_NUMBERS)}"
        self._hosts = {name: f"{prefix}-{name}" for name in names}
        self.switch, *self.others = names
        self.addresses = {name: f"{SUBNET}.{number}" for number, name in enumerate(names, 1)}

    def command(self, host: str, *command: str) -> list[str]:
        """Return the command as it is run on a host."""
        return ["ip", "netns", "exec", self._hosts[host], *command]

    def unplug(self, host: str) -> None:
        """Cut a host off: what is sent is lost, and no connection is told."""
        self._ip("-n", self._hosts[self.switch], "link", "set", f"to-{host}", "down")

    def plug(self, host: str) -> None:
        """Connect it again."""
        self._ip("-n", self._hosts[self.switch], "link", "set", f"to-{host}", "up")

    def make(self) -> None:
        """Make the hosts and their cables."""
        for name in self._hosts.values():
            self._ip("netns", "add", name)
            self._ip("-n", name, "link", "set", "lo", "up")
        switch = self._hosts[self.switch]
        self._ip("-n", switch, "link", "add", "switch", "type", "bridge")
        self._ip("-n", switch, "addr", "add", f"{self.addresses[self.switch]}/24", "dev", "switch")
        self._ip("-n", switch, "link", "set", "switch", "up")
        for name in self.others:
            host = self._hosts[name]
            ends = ("type", "veth", "peer", "name", "net", "netns", host)
            self._ip("-n", switch, "link", "add", f"to-{name}", *ends)
            self._ip("-n", switch, "link", "set", f"to-{name}", "master", "switch", "up")
            self._ip("-n", host, "addr", "add", f"{self.addresses[name]}/24", "dev", "net")
            self._ip("-n", host, "link", "set", "net", "up")

    def remove(self) -> None:
        """Remove what `make` has made; the cables go with their hosts."""
        for name in self._hosts.values():
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True, timeout=20)

    @staticmethod
    def _ip(*arguments: str) -> None:
        done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"


@contextmanager
def network(*names: str) -> Iterator[Network]:
    """Yield hosts with these names; the first is the switch."""
    made = Network(names)
    try:
        made.make()
        yield made
    finally:
        made.remove()
