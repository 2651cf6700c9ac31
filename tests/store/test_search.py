"""A query finds the same messages by SQL on either database and by the predicate."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, update

from msgserver.formats.search import Searchable, index, matches, parse
from msgserver.formats.tokens import fold
from msgserver.records import HUB, Direction, Priority
from msgserver.store import messages, resources, tickets
from msgserver.store.schema import msg_attachment, msg_delivery_status, resource_record, ticket, ticket_assignee
from tests.store.desk import ADMINISTRATOR, NOW, conversation, message, user

WORDS = ("water", "fire", "Água", "الماء", "東京都", "水", "it's", "2-3", "bridge out", "50% _x_", "a/b", '"q"', "水x")
ADDRESSES = ("sms:+15550001", "mailto:ana@example.org", "xmpp:bo@example.net", "mailto:a_b%c@x.org", "")
RECORDS = (("r-1", "incident", "Big Flood", "FL1"), ("r-2", "project", "Água", ""), ("R-3", "incident", "50%", "x_y"))
TAGS = ("incident/r-1", "project/r-2", "incident/R-3", "tag/boat", "incident/", "other/from elsewhere")
FLAGS = ("unread", "read", "todo", "done", "verified", "actionable", "spam", "unparsed", "in", "out")
STATES = ("pending", "failed")


class Desk:
    """Messages in a database, and each of them as the predicate sees it."""

    def __init__(self, tx):
        chance = random.Random(4)
        self.tx = tx
        self.ana = user(tx, "ana", ADMINISTRATOR, unread_from=5, entity_id=7)
        self.ben = user(tx, "ben")
        for uid, resource, name, code in RECORDS:
            row = {"uid": uid, "resource": resource, "name": name, "name_folded": fold(name), "code": code}
            tx.execute(insert(resource_record).values(created_at=NOW, changed_at=NOW, **row))
        people = {"ana": self.ana, "ben": self.ben}
        threads = []
        for _ in range(8):
            names = chance.sample(sorted(people), chance.randrange(3))
            values = {"priority": chance.randrange(4), "actioned_at": chance.choice([None, NOW])}
            number = conversation(tx, assignees=tuple(people[name] for name in names), **values)
            threads.append((number, names, values))
        threads.append((None, [], {"priority": None, "actioned_at": None}))
        self.seen = {}
        for _ in range(60):
            self.add(chance, *chance.choice(threads))

    def add(self, chance, number, names, thread):
        pick = chance.choice

        def sentence():
            return " ".join(chance.choices(WORDS, k=chance.randrange(5)))

        recipients = tuple(chance.sample(ADDRESSES[:-1], chance.randrange(3)))
        row = {
            "sender": pick(ADDRESSES),
            "sender_name": pick(["", "Ana María", "water"]),
            "recipients": recipients,
            "subject": sentence(),
            "body": sentence(),
            "direction": pick(["in", "in", "out"]),
            "connector": pick(["modem1", "mail"]),
            "received_at": NOW - pick([0, 3600, 86400, 10 * 86400]),
            "verified": pick(["", "trusted"]),
            "actionable": pick([None, False, True]),
            "spam": chance.random() < 0.2,
            "trouble": pick(["[]", '["odd charset"]']),
            "entity_id": pick([None, None, 7]),
        }
        tags = tuple(chance.sample(TAGS, chance.randrange(3)))
        made = message(self.tx, number, tags=tags, **row)
        row["recipients"] = recipients
        attachments = chance.random() < 0.3
        if attachments:
            self.tx.execute(insert(msg_attachment).values(message_id=made, size=1, sha256="0"))
        states = chance.sample(STATES, chance.randrange(3))
        for state in states:
            values = {"message_id": made, "address": state, "state": state, "created_at": NOW, "changed_at": NOW}
            self.tx.execute(insert(msg_delivery_status).values(**values))
        mine = row["entity_id"] == 7
        inbound = row["direction"] == "in" and not row["spam"]
        unread = inbound and not mine and made > 5
        if inbound and not mine and chance.random() < 0.4:
            if unread:
                messages.mark_read(self.tx, self.ana, [made], NOW)
            else:
                messages.mark_unread(self.tx, self.ana, [made])
            unread = not unread
        named = {uid: (fold(name), code) for uid, _, name, code in RECORDS}
        self.seen[made] = Searchable(
            tokens=index(row["sender"], row["sender_name"], recipients, row["subject"], row["body"]),
            direction=Direction(row["direction"]),
            sender=row["sender"],
            recipients=recipients,
            connector=row["connector"],
            ticket=number,
            number=messages.message(self.tx, HUB, made).number,
            received_at=row["received_at"],
            tags=tuple((*tag.split("/"), *named.get(tag.split("/")[1], ("", ""))) for tag in tags),
            assignees=tuple((1 if name == "ana" else 2, name) for name in names),
            priority=None if thread["priority"] is None else Priority(thread["priority"]),
            done=None if number is None else thread["actioned_at"] is not None,
            unread=unread,
            read=inbound and not unread,
            verified=row["verified"] != "",
            actionable=bool(row["actionable"]),
            spam=row["spam"],
            unparsed=row["trouble"] != "[]",
            attachments=attachments,
            statuses=frozenset(states),
            viewer=self.ana.user_id,
            now=NOW,
        )

    def by_sql(self, query, **options):
        page = messages.log(self.tx, self.ana, query, limit=100, now=NOW, **options)
        return [one.id for one in page.items]

    def by_predicate(self, query):
        tree = parse(query).tree
        return [number for number in sorted(self.seen, reverse=True) if matches(tree, self.seen[number])]


@pytest.fixture
def tx(database):
    with database() as tx:
        yield tx


@pytest.fixture
def desk(tx):
    return Desk(tx)


_word = st.sampled_from(
    [
        *WORDS,
        "wat*",
        "京",
        "東京",
        "京都",
        "it s",
        "agua",
        "الْمَاء",
        "50",
        "x",
        "b",
        "nothing",
        "%",
        "_",
        "'",
        "a_b",
        "org",
    ]
)
_quoted = _word.map(lambda word: '"' + word.replace('"', "") + '"')
_fields = st.sampled_from(
    [
        *(f"is:{flag}" for flag in FLAGS),
        *(
            f"tag:{name}"
            for name in ('"big flood"', "fl1", "boat", "incident", "r-2", "agua", "x_y", "x%y", "50%", "other")
        ),
        *(
            f"resource:{name}"
            for name in ("incident", "incident/r-1", "incident/FL1", "project/agua", "x", "incident/r-2")
        ),
        *(f"channel:{name}" for name in ("sms", "mail", "xmpp", "loop")),
        *(f"assignee:{name}" for name in ("me", "none", "ben", "nobody-here")),
        *(f"priority:{name}" for name in ("low", "high", "urgent")),
        *("connector:mail", "has:attachment", "status:failed", "status:pending", "status:sent"),
        *("id:1", "id:2.1", "id:3", "newer:2h", "older:2d", "before:2023-11-14", "after:2023-11-14"),
        *(
            "from:ana",
            "from:+15550001",
            "from:water",
            "to:example.net",
            "subject:water",
            "body:water",
            "subject:東京",
            "to:a_b",
        ),
    ]
)
_term = _word | _quoted | _fields
_queries = st.recursive(
    _term,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(" ".join)
        | st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({' OR '.join(parts)})")
        | inner.map(lambda part: f"-({part})")
    ),
    max_leaves=6,
)


def test_every_single_term(desk):
    found = 0
    for term in itertools.chain(WORDS, ["is:unread", "is:read", "tag:fl1", "channel:mail", "assignee:me", "-water"]):
        assert desk.by_sql(term) == desk.by_predicate(term), term
        found += len(desk.by_sql(term))
    assert found > 50


def test_sql_and_predicate_agree(desk):
    @settings(max_examples=100, suppress_health_check=[HealthCheck.nested_given, HealthCheck.too_slow])
    @given(_queries)
    def agree(query):
        assert desk.by_sql(query) == desk.by_predicate(query)

    agree()


def test_pages_of_a_search_follow_on(desk):
    for query in ("water", "-water", "is:incoming", "water OR fire"):
        walked, word = [], ""
        while True:
            page = messages.log(desk.tx, desk.ana, query, word, 3, now=NOW)
            walked += [one.id for one in page.items]
            word = page.next
            if not word:
                break
        assert walked == desk.by_predicate(query)


HOSTILE = [
    '"',
    "' OR 1=1 --",
    "AND",
    "NEAR(a b)",
    "a-b",
    "(",
    ")",
    "*",
    "^a",
    "a:b",
    "subject:",
    "{a b}:c",
    "+a",
    "a\x00b",
    "\ud800",
    "tokens:water",
    "-",
    "--",
    "rowid:1",
    "%",
    "_",
    "\\",
    "';drop table msg_log",
    "& | ! <->",
    "a:*",
    "id:99999999999999999999",
    "id:999999999999999999",
    "newer:999999y",
    "before:9999-12-31",
    "before:0001",
    "tag:'",
    'tag:"',
    "resource:/x",
    "channel:%",
    "assignee:'",
    "من:",
    "🔥",
    "a" * 5000,
    '"' * 900,
]


def test_no_query_fails(tx):
    viewer = user(tx, "ana")
    for text in HOSTILE:
        message(tx, conversation(tx), body=text.encode("utf-8", "replace").decode().replace("\x00", ""))
        for query in (text, f'({text}) OR -subject:"{text}"', f"is:unread from:{text}"):
            messages.log(tx, viewer, query)
            tickets.inbox(tx, viewer, "all", query)
        resources.records(tx, viewer, query=text)


def test_the_databases_own_clock_serves_newer(tx):
    viewer = user(tx, "ana")
    message(tx)
    assert messages.log(tx, viewer, "newer:1d").items == ()
    assert len(messages.log(tx, viewer, "older:1d").items) == 1


def test_tickets_priority_counts_at_once(tx):
    viewer = user(tx, "ana")
    number = conversation(tx)
    message(tx, number)
    tx.execute(update(ticket).values(priority=3))
    tx.execute(insert(ticket_assignee).values(ticket_id=number, user_id=viewer.user_id, at=NOW))
    assert len(messages.log(tx, viewer, "priority:urgent assignee:ana").items) == 1
