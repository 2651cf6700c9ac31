"""Tells the service manager how we are (sd_notify(3)): ready, stopping, still alive. Does nothing where none asked."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> bool:
    """Send a state, ``READY=1``, ``STOPPING=1`` or ``WATCHDOG=1``; False where nobody asked for it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.connect(address)
            channel.sendall(state.encode())
    except OSError:
        return False
    return True


def watchdog_seconds() -> float | None:
    """How often the manager wants to hear from us at the latest; None where it does not."""
    try:
        wanted = int(os.environ["WATCHDOG_USEC"]) / 1e6
        mine = int(os.environ.get("WATCHDOG_PID", os.getpid())) == os.getpid()
    except (KeyError, ValueError):
        return None
    return wanted if mine and wanted > 0 else None
