"""Mail that nobody here wrote."""

from __future__ import annotations

from importlib import resources

import pytest


@pytest.fixture(scope="session")
def standard_mails() -> list[bytes]:
    """The mails of CPython's own tests of ``email``; skips where Python came without its tests."""
    try:
        folder = resources.files("test.test_email") / "data"
        found = [file.read_bytes() for file in folder.iterdir() if file.name.startswith("msg_")]
    except (ModuleNotFoundError, FileNotFoundError):
        found = []
    if not found:
        pytest.skip("this Python came without its test data")
    return sorted(found)
