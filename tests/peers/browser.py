"""Chromium without a window, driven by Playwright; for plain tests (not coroutines) against a hub process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.peers.programs import program

PATIENCE = 90_000  # milliseconds to wait for whatever a page is to do
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests of a run."""
    path = program("chromium", "chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"], timeout=180_000)
        yield running
        running.close()


def patient(context: BrowserContext) -> BrowserContext:
    """Let a profile's pages take their time."""
    context.set_default_timeout(PATIENCE)
    return context


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in a browser profile of its own; the test fails where a script on it raised."""
    context = patient(browser.new_context(viewport={"width": 1280, "height": 800}))
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    context.close()
    assert errors == []
