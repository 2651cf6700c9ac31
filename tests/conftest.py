"""What every test may use: the real peers' fixtures, a free port, and hypothesis without a stop-watch."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest
from twisted.python.threadpool import ThreadPool

from tests.peers import programs

# Each module beside programs.py is a peer; a new one is known by being there.
pytest_plugins = [
    f"tests.peers.{path.stem}"
    for path in sorted((Path(__file__).parent / "peers").glob("*.py"))
    if path.stem not in ("__init__", "programs")
]

# The same examples at every run, however slow the machine; HYPOTHESIS_PROFILE=search looks for new ones.
_PATIENT = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow], "print_blob": True}
hypothesis.settings.register_profile("same", derandomize=True, **_PATIENT)
hypothesis.settings.register_profile("search", **_PATIENT)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Give a TCP port on 127.0.0.1 that nobody listens on, nor will but for who asked."""
    return programs.free_port


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """End the thread pools that failed tests left behind: Python waits for their threads for ever."""
    for pool in [thing for thing in gc.get_objects() if isinstance(thing, ThreadPool)]:
        if pool.started and not pool.joined:
            pool.stop()
