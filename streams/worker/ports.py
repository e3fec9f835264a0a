"""The port that a worker's HTTP is served on.

Two workers on one machine are the first thing that anybody tries who has read what a standby is, so a port that nobody asked
for gives way to the next one that is free. One that was asked for does not.
"""

from __future__ import annotations

import socket
from typing import Final

from loguru import logger

from streams.config.settings import Settings
from streams.errors import SettingsError

TRIES: Final = 32


def port_to_serve(host: str, asked: int | None, default: int) -> int:
    """The port to listen on: the one that was asked for, by option or environment, or the first free one from the default on.

    Raises:
        SettingsError: the one that was asked for is taken, or none is free.
    """
    if asked is None and default != Settings.model_fields["http_port"].default:
        asked = default
    if asked is not None:
        if asked and not _is_free(host, asked):
            raise SettingsError(f"port {asked} on {host} is taken by somebody: give --http-port another one, or 0 for no HTTP")
        return asked
    for port in range(default, default + TRIES):
        if _is_free(host, port):
            if port != default:
                logger.info("port {} is taken: HTTP is on http://{}:{}", default, host, port)
            return port
    raise SettingsError(f"no port from {default} to {default + TRIES - 1} is free on {host}: give --http-port one that is, or 0 for none")


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
