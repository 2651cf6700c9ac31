"""The search grammar: what people write is read, what is not understood is named, and nothing raises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.formats.query import (
    LONGEST_QUERY,
    All,
    Any,
    Moment,
    Not,
    Numbered,
    OfPriority,
    OfRecord,
    Term,
    Words,
)
from msgserver.formats.search import Searchable, index, matches, parse, personal
from msgserver.formats.tokens import MOST
from msgserver.records import Direction, Priority


def word(text, where="", beginning=False):
    return Words(text, tuple(text.rstrip("*").split()), beginning, where)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", None),
        ("   ", None),
        ("flood water", All((word("flood"), word("water")))),
        ('"flood water"', word("flood water")),
        ("flood -water", All((word("flood"), Not(word("water"))))),
        ("-(a OR b)", Not(Any((word("a"), word("b"))))),
        ("a b OR c", Any((All((word("a"), word("b"))), word("c")))),
        ("a (b OR c) AND d", All((word("a"), Any((word("b"), word("c"))), word("d")))),
        ("--a", word("a")),
        ("a a a", word("a")),
        ("wat*", word("wat*", beginning=True)),
        ("from:ana", word("ana", "from")),
        ('subject:"big water"', word("big water", "subject")),
        ("TO:ana -body:x", All((word("ana", "to"), Not(word("x", "body"))))),
        ("from:mailto:ana", word("ana", "from")),
        ("tag:flood", Term("tag", "flood")),
        ('tag:"Big Flood"', Term("tag", "Big Flood")),
        ("resource:Site/17", OfRecord("site", "17")),
        ("resource:incident", OfRecord("incident")),
        ("channel:sms", Term("channel", "sms")),
        ("channel:mail", Term("channel", "mailto")),
        ("connector:modem1", Term("connector", "modem1")),
        ("assignee:ME", Term("assignee", "me")),
        ("priority:High", OfPriority(Priority.HIGH)),
        ("is:Unread", Term("is", "unread")),
        ("has:attachments", Term("has", "attachment")),
        ("status:failed", Term("status", "failed")),
        ("id:42", Numbered(42)),
        ("id:#42.3", Numbered(42, 3)),
        ("before:2026-11-01", Moment(1793491200.0, False)),
        ("after:2026", Moment(1767225600.0, True)),
        ("newer:2d", Moment(172800.0, True, back=True)),
        ("older:1w", Moment(604800.0, False, back=True)),
        ("http://example.org", Words("http://example.org", ("http", "example", "org"))),
        ("12:30", Words("12:30", ("12", "30"))),
        ("a)b", All((word("a"), word("b")))),
        ("((a", word("a")),
        ("OR a OR", word("a")),
        ('"a b', Words("a b", ("a", "b"))),
        ("a - b", All((word("a"), word("b")))),
    ],
)
def test_reads(text, tree):
    query = parse(text)
    assert query.tree == tree
    assert query.ignored == ()


@pytest.mark.parametrize(
    "bit",
    [
        "foo:bar",
        "is:purple",
        "before:soon",
        "before:2026-13",
        "newer:2x",
        "id:x",
        "priority:9",
        "status:odd",
        "tag:",
        "!!!",
    ],
)
def test_what_is_not_understood_is_named_and_left_out(bit):
    query = parse(f"water {bit} OR fire")
    assert query.tree == Any((word("water"), word("fire")))
    assert query.ignored == (bit,)
    assert parse(f"-{bit}").tree is None


def test_flags_are_explained():
    assert parse("is:flagged").ignored == ("is:flagged (there are no flags: use a tag or a priority)",)


@given(st.text() | st.text('ab "():-*ORis:unread#.', max_size=60))
def test_never_raises(text):
    query = parse(text)
    assert isinstance(personal(query.tree), bool)
    matches(query.tree, Searchable(tokens=""))


def test_limits():
    assert parse("(" * 900 + "a").ignored[0] == "("
    assert parse("a" * (LONGEST_QUERY + 1)).ignored == ("the end (too long)",)
    many = parse(" ".join(f"w{n}" for n in range(60)))
    assert len(many.tree.parts) == 40
    assert many.ignored[0] == "w40"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("is:unread", True),
        ("a -assignee:me", True),
        ("(b OR is:read)", True),
        ("assignee:ana is:todo", False),
        ("", False),
    ],
)
def test_personal(text, expected):
    assert personal(parse(text).tree) is expected


MAIL = Searchable(
    tokens=index(
        "mailto:ana@example.org",
        "Ana María",
        ["sms:+15550001", "xmpp:bo@example.net"],
        "Big Water",
        "The bridge at 東京都 is out",
    ),
    sender="mailto:ana@example.org",
    recipients=("sms:+15550001", "xmpp:bo@example.net"),
    connector="mail",
    ticket=42,
    number=3,
    received_at=1000.0,
    now=2000.0,
    tags=(("incident", "u-1", "big flood", "FL1"), ("tag", "boat", "", "")),
    assignees=((7, "ben"),),
    priority=Priority.HIGH,
    done=False,
    unread=True,
    attachments=True,
    statuses=frozenset({"failed"}),
    viewer=7,
)


@pytest.mark.parametrize(
    "text",
    [
        "water",
        "bridge is out",
        '"bridge at"',
        "-fire",
        "maria",
        "from:ana",
        "from:example.org",
        "to:+15550001",
        "to:bo@example.net",
        "subject:water",
        'subject:"big water"',
        "body:bridge",
        "brid*",
        "京都",
        "東",
        "都",
        "tag:boat",
        "tag:FL1",
        "tag:fl1",
        'tag:"Big  flood"',
        "tag:incident",
        "resource:incident",
        "resource:incident/u-1",
        "resource:incident/fl1",
        "channel:mail",
        "channel:sms",
        "connector:mail",
        "assignee:me",
        "assignee:ben",
        "priority:high",
        "is:unread",
        "is:todo",
        "is:incoming",
        "has:attachment",
        "status:failed",
        "id:42",
        "id:42.3",
        "newer:1000min",
        "older:1min -older:17min",
        "before:1971 after:1970",
        "fire OR water",
        "(a OR bridge) -(b c)",
    ],
)
def test_matches(text):
    assert parse(text).ignored == ()
    assert matches(parse(text).tree, MAIL)
    assert not matches(parse(f"-({text})").tree, MAIL)


@pytest.mark.parametrize(
    "text",
    [
        "fire",
        '"at bridge"',
        "from:water",
        "subject:bridge",
        "body:water",
        "bri",
        "resource:incident/other",
        "resource:project",
        "tag:boats",
        "assignee:none",
        "is:done",
        "is:outgoing",
        "is:spam",
        "id:42.2",
        "id:4",
        "阪",
        '"ana big"',
    ],
)
def test_matches_not(text):
    assert not matches(parse(text).tree, MAIL)


def test_direction():
    assert matches(parse("is:out").tree, Searchable(tokens="", direction=Direction.OUT))


def test_the_body_ends_where_the_index_entry_is_full():
    entry = index("sms:+1", "n " * 60, ["sms:+2"] * 400, "s " * 300, "b " * MOST).split()
    assert (entry.count("\u00b9n"), entry.count("\u00b22"), entry.count("\u00b3s")) == (50, 100, 200)
    assert (len(entry), entry.count("b")) == (MOST, MOST - 350)
    assert index("", "", (), "", "") == ""
