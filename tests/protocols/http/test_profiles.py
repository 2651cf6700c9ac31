"""The same questions to every profile, answered out of its table in ``cases``."""

from __future__ import annotations

import importlib
import string

import msgspec
import pytest
import pytest_twisted
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from msgserver.connector import PermanentFailure, SendFailure, TemporaryFailure
from msgserver.message import Address, Arrival, Envelope, Receipt, Report
from msgserver.protocols.http.account import Account
from msgserver.protocols.http.intake import Intake
from msgserver.protocols.http.profile import load, names, read_options
from msgserver.wire.agent import Answer
from msgserver.wire.webhook import Call, Refused
from tests.fakes import FakeHub

from .cases import NOW, SECRET

PROFILES = names()
CASES = {name: importlib.import_module(f"tests.protocols.http.cases.{name}") for name in PROFILES}

HOSTILE = [
    "The bridge is open again.",
    "a&to=+19005550000&from=x",
    "one\r\nHost: evil.example\r\n\r\nGET / HTTP/1.1",
    '"}],"to":"19005550000"</text>&lt;{to} {password} %7Bto%7D',
    "100% sure + 1 = 2; ümlaut, Ελληνικά, اختبار, 中文, 😀👩‍👩‍👧",
    "\\u0041 \\n '; --",
]


def account_of(case) -> Account:
    profile = load(case.SETTINGS.profile)
    options = read_options(profile, case.SETTINGS.options)
    return Account("gateway", case.SETTINGS, options, case.SETTINGS.url or profile.URL)


def envelope(text="The bridge is open again.", to="+15551234", **changes) -> Envelope:
    return Envelope(ref="d1.abc", attempt=1, sender="Desk", to=Address("sms", to), text=text, **changes)


def table(name):
    found = [(profile, *row) for profile in PROFILES for row in getattr(CASES[profile], name)]
    return pytest.mark.parametrize("row", found, ids=[f"{row[0]}: {row[1]}" for row in found])


every_profile = pytest.mark.parametrize("name", PROFILES)


def intake(name, hub=None, now=NOW) -> Intake:
    clock = Clock()
    clock.advance(now)
    return Intake(account_of(CASES[name]), load(name), hub or FakeHub(), clock)


# Sending


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@every_profile
def test_the_gateway_reads_exactly_what_was_written(name, text):
    case, profile = CASES[name], load(name)
    text = text.replace("\r\n", "\n")  # as the connector hands it in
    request = profile.request(account_of(case), envelope(text))
    assert request.url.isascii()
    assert not set(request.url) & set(" \r\n\t")
    assert all("\n" not in value and "\r" not in value for _, value in request.headers)
    read = case.sent(request)
    assert read["text"] == text
    assert read["to"] == "+15551234"
    assert read["from"] == case.SETTINGS.sender


@every_profile
def test_only_numbers_are_sent_to(name):
    for written in ("BANK", "+1555;rm", "12\n34", "", "+1555&to=1", "++1555", "+٣٤٥٦٧"):
        with pytest.raises(PermanentFailure) as refused:
            load(name).request(account_of(CASES[name]), envelope(to=written))
        assert refused.value.bad_address


@table("ANSWERS")
def test_an_answer_becomes_a_receipt_or_the_right_failure(row):
    name, _, answer, expected, words = row
    profile, account = load(name), account_of(CASES[name])
    profile.request(account, envelope())
    try:
        outcome = profile.receipt(account, answer)
    except SendFailure as failure:
        outcome = failure
    assert type(outcome) is expected, outcome
    if isinstance(outcome, Receipt):
        assert outcome.wire_ids == ((words,) if isinstance(words, str) and words else tuple(words))
    else:
        assert words in str(outcome)
        assert CASES[name].SETTINGS.password.reveal() not in str(outcome)
    if isinstance(outcome, TemporaryFailure) and "retry-after" in answer.headers:
        assert outcome.retry_after == float(answer.headers["retry-after"])


@every_profile
def test_every_profile_knows_a_yes_a_no_and_a_200_that_is_none(name):
    kinds = {expected for _, _, expected, _ in CASES[name].ANSWERS}
    assert Receipt in kinds
    assert any(issubclass(kind, PermanentFailure) for kind in kinds)
    assert any(issubclass(kind, TemporaryFailure) for kind in kinds)
    for empty in (b"", b"{}", b"[]", b"null", b"<html></html>"):
        with pytest.raises(SendFailure):
            load(name).receipt(account_of(CASES[name]), Answer(200, {}, empty, NOW))


@settings(max_examples=300)
@given(
    name=st.sampled_from(PROFILES),
    status=st.sampled_from([200, 202, 204, 302, 400, 401, 404, 429, 500, 503]),
    body=st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "messages",
                            "sid",
                            "code",
                            "message",
                            "errorCode",
                            "SMSMessageData",
                            "Recipients",
                            "status",
                            "errors",
                            "requestError",
                            "id",
                            "balance",
                        ]
                    ),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=8,
        ).map(msgspec.json.encode),
    ),
)
def test_no_answer_breaks_it(name, status, body):
    profile, account = load(name), account_of(CASES[name])
    answer = Answer(status, {}, body, NOW)
    try:
        receipt = profile.receipt(account, answer)
    except SendFailure:
        pass
    else:
        assert isinstance(receipt, Receipt)
        assert status < 300
    if profile.credit:
        assert isinstance(profile.credit(account, answer), str)


# Being called


@table("ARRIVALS")
@pytest_twisted.ensureDeferred
async def test_an_arriving_text_is_taken(row):
    name, _, call, sender, text, wire_id = row
    hub = FakeHub()
    reply = await intake(name, hub).take(call)
    assert 200 <= reply.status < 300
    (arrival,) = hub.arrivals
    assert isinstance(arrival, Arrival)
    assert arrival.sender == Address("sms", sender)
    assert arrival.text == text
    assert arrival.wire_id == wire_id
    await intake(name, hub).take(call)
    assert len(hub.arrivals) == 1


@table("REPORTS")
@pytest_twisted.ensureDeferred
async def test_a_receipt_is_told(row):
    name, _, call, state, ref = row
    hub = FakeHub()
    await intake(name, hub).take(call)
    assert [(str(each.state), each.wire_id or each.ref) for each in hub.reports] == ([(state, ref)] if state else [])


@every_profile
@pytest_twisted.ensureDeferred
async def test_who_is_not_the_gateway_is_refused(name):
    case = CASES[name]
    call = case.ARRIVALS[0][1]
    change = msgspec.structs.replace
    if case.SIGNED:
        forged = [
            case.sign(call, token="another"),
            change(call, query=b"a=1"),
            change(call, body=call.body + b"&extra=1"),
            *case.forged(call),
        ]
    else:
        forged = [
            change(call, path=call.path[1:]),
            change(call, path=("wrong", *call.path[1:])),
            change(call, path=(SECRET[:-1], *call.path[1:])),
            change(call, path=(SECRET + "\u00e9",)),
            change(call, path=(), query=b"secret=wrong"),
        ]
    hub = FakeHub()
    for each in forged:
        with pytest.raises(Refused) as refused:
            await intake(name, hub).take(each)
        assert refused.value.status in (401, 403)
        assert SECRET not in str(refused.value)
    assert not hub.arrivals


@settings(max_examples=300)
@given(
    name=st.sampled_from(PROFILES),
    body=st.one_of(
        st.binary(max_size=60),
        st.text(alphabet=string.ascii_letters + '=&%+<>{}[]",:0123456789', max_size=60).map(str.encode),
    ),
    kind=st.sampled_from(
        ["application/json", "application/x-www-form-urlencoded", "text/xml", "multipart/form-data", ""]
    ),
    last=st.sampled_from(["", "report", "delivered", "x"]),
)
def test_no_call_breaks_it(name, body, kind, last):
    call = Call(path=(last,) if last else (), headers={"content-type": kind}, body=body, query=body[:20])
    try:
        items = list(load(name).items(account_of(CASES[name]), call))
    except Refused:
        pass
    else:
        assert all(isinstance(item, Arrival | Report) for item in items)


@pytest.mark.parametrize("failure", [TemporaryFailure("disk full"), RuntimeError("bug")])
@every_profile
@pytest_twisted.ensureDeferred
async def test_what_cannot_be_stored_is_not_acknowledged(name, failure):
    hub = FakeHub()
    hub.failures.append(failure)
    with pytest.raises(type(failure)):
        await intake(name, hub).take(CASES[name].ARRIVALS[0][1])
    assert not hub.arrivals
