"""Bounces of mailers that nobody here wrote: most tell whom they did not reach."""

from __future__ import annotations

import pytest

from msgserver.formats.mime import read_mail
from tests.formats.corpora import corpus

pytestmark = pytest.mark.peer


def test_most_bounces_are_understood():
    readings = {name: read_mail(raw) for name, raw in corpus("bounces (flufl)").items()}
    understood = [name for name, reading in readings.items() if any(one.recipient for one in reading.bounces)]
    assert len(understood) >= 0.8 * len(readings), sorted(set(readings) - set(understood))


def test_none_of_the_recipients_is_the_one_who_gets_the_bounce():
    for name, raw in corpus("bounces (flufl)").items():
        reading = read_mail(raw)
        to = {address for _, address in reading.to}
        assert not {one.recipient for one in reading.bounces} & to or name.startswith("dsn"), name
