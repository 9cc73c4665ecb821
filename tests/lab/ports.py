"""Free TCP ports on the loopback address, and starts that survive losing the race for one."""

import socket
from collections.abc import Callable
from pathlib import Path
from random import SystemRandom
from typing import TypeVar

from tests.lab.errors import AddressInUse, LabError

HOST = "127.0.0.1"
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10_240
_TRIES = 200
# Seeded generators (pytest-randomly seeds the shared one) would give every process the same ports.
_random = SystemRandom()

T = TypeVar("T")


def free_ports(count: int) -> tuple[int, ...]:
    """Return `count` different ports that nobody listens on now.

    They lie below the range that the kernel hands to outgoing connections, so that a stopped server
    finds its port still free when it starts again. Another process may take one before it is bound.
    Raises LabError if none is found.
    """
    ports: set[int] = set()
    highest = _first_ephemeral_port() - 1
    for _ in range(_TRIES):
        if len(ports) == count:
            return tuple(ports)
        candidate = _random.randint(_LOWEST, highest)
        if port_is_free(candidate):
            ports.add(candidate)
    raise LabError(f"found no {count} free ports between {_LOWEST} and {highest} on {HOST}")


def port_is_free(port: int) -> bool:
    """Tell whether a server could bind `port` on the loopback address now."""
    with socket.socket() as probe:
        # As servers do it: connections of a former server that linger in TIME_WAIT do not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def start_on_free_ports(count: int, start: Callable[[tuple[int, ...]], T], attempts: int = 5) -> T:
    """Return `start(ports)`, called again with fresh ports while it raises AddressInUse."""
    for _ in range(attempts - 1):
        try:
            return start(free_ports(count))
        except AddressInUse:
            continue
    return start(free_ports(count))


def _first_ephemeral_port() -> int:
    try:
        first = int(_EPHEMERAL.read_text().split()[0])
    except OSError:
        return 32_768  # the default of Linux, ip(7) ip_local_port_range
    return first if first > _LOWEST + 1_000 else 65_536
