"""Ports of this machine: free ones, and who has one that is taken."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

import psutil

from streams.broker.folder import HOST


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Whether the broker could listen on `port`."""
    with socket.socket() as probe:
        if os.name == "posix":
            # As Java does: a connection of a former broker that is still being closed is no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def holder_of(port: int) -> str:
    """Who listens on `port`, as `java (process 4711)`; `another process` when the system doesn't tell."""
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,) and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return "another process"
