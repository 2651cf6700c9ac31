"""A Redis server that keeps nothing on disk."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.programs import Program, free_port, home, listens, program


class Redis:
    """A server on 127.0.0.1; ``stop`` and ``start`` again for what happens when it goes away."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        """Start it, empty; returns when it takes connections."""
        argv = [program("redis-server", "redis-server"), "--port", str(self.port), "--bind", "127.0.0.1"]
        argv += ["--dir", str(self.directory), "--save", "", "--appendonly", "no"]
        self.program = Program(argv, self.directory / "log")
        self.program.wait_ready(lambda: listens(self.port))

    def stop(self) -> None:
        """Stop it; what it held is gone."""
        self.program.stop()

    def command(self, *words: str) -> bytes:
        """Send one inline command and return the first answer line."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as line:
            line.sendall(" ".join(words).encode() + b"\r\n")
            return line.makefile("rb").readline()


@pytest.fixture(scope="session")
def _redis_server() -> Iterator[Redis]:
    with home("redis") as directory:
        server = Redis(directory)
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def redis(_redis_server: Redis) -> Redis:
    """A running, empty Redis."""
    if not listens(_redis_server.port):
        _redis_server.start()
    _redis_server.command("FLUSHALL")
    return _redis_server
