"""Desks that are closed after each test, and a connector that does not wait long between tries."""

import pytest
import pytest_twisted
from twisted.internet.defer import ensureDeferred

from tests.protocols.gsm.desk import Desk


@pytest.fixture
def quick_backoff(monkeypatch):
    monkeypatch.setattr("msgserver.protocols.gsm.connector.BackOff.next", lambda self: 0.05)


@pytest.fixture
def one_day(monkeypatch):
    """No day ends during the test."""
    monkeypatch.setattr("msgserver.protocols.gsm.allowance.Allowance._today", lambda self: 20_000)


@pytest.fixture
def desk(request):
    made = []

    def make(*args, **settings):
        made.append(Desk(*args, **settings))
        return made[-1]

    yield make
    for each in made:
        pytest_twisted.blockon(ensureDeferred(each.close()))
