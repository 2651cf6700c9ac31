"""The connector's life with a server in memory: order, marks, faults at every step, and what its status says."""

from __future__ import annotations

from typing import Any

import pytest
from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet import error

from msgserver.connector import TemporaryFailure
from msgserver.protocols.imap.arrivals import Cursor
from msgserver.protocols.imap.line import LineLost
from msgserver.protocols.imap.login import NotUsable
from msgserver.protocols.imap.troubles import explain
from tests.protocols.imap.scripted import ABILITIES, Desk, Host, mail

MAILS = [mail(n) for n in range(5)]


def desk(*mails: bytes, start: bool = True, **changes: Any) -> Desk:
    made = Desk(**changes)
    made.box.put(*mails)
    if start:
        made.start()
    return made


def test_all_is_taken_in_order_then_marked_then_waited_for() -> None:
    it = desk(*MAILS, batch=2)
    assert it.taken == MAILS
    assert it.box.seen == [1, 2, 3, 4, 5]
    assert it.words == "connected, waiting (IDLE)"
    commands = [line for line in it.road.said if "BODY" in line or "STORE" in line]
    assert commands == [
        "UID FETCH 1 (UID BODY.PEEK[])",
        "UID FETCH 2 (UID BODY.PEEK[])",
        "UID STORE 1:2 +FLAGS.SILENT (\\Seen)",
        "UID FETCH 3 (UID BODY.PEEK[])",
        "UID FETCH 4 (UID BODY.PEEK[])",
        "UID STORE 3:4 +FLAGS.SILENT (\\Seen)",
        "UID FETCH 5 (UID BODY.PEEK[])",
        "UID STORE 5 +FLAGS.SILENT (\\Seen)",
    ]
    assert [Cursor.decode(one.cursor[1] if one.cursor else b"") for one in it.hub.arrivals] == [
        Cursor(7, 1, (1,)),
        Cursor(7, 2, (1, 2)),
        Cursor(7, 3, (3,)),
        Cursor(7, 4, (3, 4)),
        Cursor(7, 5, (5,)),
    ]
    assert Cursor.decode(it.hub.memory["cursor INBOX"]) == Cursor(7, 5)
    it.stop()
    assert it.words == "stopped"
    assert it.clock.getDelayedCalls() == []


def test_idle_is_asked_for_anew_every_25_minutes() -> None:
    it = desk()
    for times in (1, 2, 3):
        assert it.road.said.count("IDLE") == times
        it.road.run(1499.0)
        assert it.road.said.count("IDLE") == times
        it.road.run(2.0)
    assert len(it.road.hosts) == 1
    it.stop()


@pytest.mark.parametrize("changes", [{"idle": False}, {}])
def test_without_idle_it_looks_every_minute(changes: dict[str, Any]) -> None:
    it = desk(start=False, **changes)
    it.road.abilities = ABILITIES if changes else ABILITIES.replace(" IDLE", "")
    it.start()
    assert it.words == "connected, polling every 60 s"
    it.box.put(mail(1))
    it.road.run(50.0)
    assert it.taken == []
    it.road.run(20.0)
    assert it.taken == [mail(1)]
    it.stop()
    assert it.clock.getDelayedCalls() == []


def test_idle_that_is_offered_and_refused() -> None:
    it = desk(start=False)
    it.road.moods["IDLE"] = lambda host, tag: host.say(f"{tag} NO not now")
    it.start()
    it.box.put(mail(1))
    it.road.run(70.0)
    assert it.taken == [mail(1)]
    assert len(it.road.hosts) == 1
    it.stop()


def test_mail_that_comes_while_others_are_taken_does_not_wait() -> None:
    it = desk(mail(1), start=False)

    def more(host: Host, tag: str) -> None:
        if len(it.box.mails) == 1:
            it.box.put(mail(2))
            host.say("* 2 EXISTS")
        it.box.flags[1].add("\\Seen")
        host.say(f"{tag} OK stored")

    it.road.moods["UID STORE"] = more
    it.start()
    assert it.taken == [mail(1), mail(2)]
    it.stop()


def test_mail_that_comes_between_the_last_look_and_idle_does_not_wait() -> None:
    it = desk(start=False)

    def look(host: Host, tag: str) -> None:
        host.do_UID_FETCH(host.lines[-1].split(" ", 3)[3])
        if not it.box.mails:
            it.box.put(mail(1))
            host.say("* 1 EXISTS")
        host.say(f"{tag} OK done")

    it.road.moods["UID FETCH"] = look
    it.start()
    assert it.taken == [mail(1)]
    it.stop()


STEPS = ["GREETING", "CAPABILITY", "AUTHENTICATE", "SELECT", "UID FETCH", "LITERAL", "UID STORE", "IDLE", "DONE"]


@pytest.mark.parametrize("how", ["break", "silent", "garbage", "no", "half"])
@pytest.mark.parametrize("step", STEPS)
def test_whatever_goes_wrong_where_ever_nothing_is_lost_or_taken_twice(step: str, how: str) -> None:
    it = desk(*MAILS, start=False)
    times = [0]

    def mood(host: Host, tag: str) -> None:
        times[0] += 1
        if times[0] > 1:
            del it.road.moods[step]
        if how == "break":
            host.transport.abortConnection()
        elif how == "garbage":
            host.say(b"\xff\xfe * ( {99999999999}", b"* 7 FETCH (BODY[] {99999999999}", "* OK")
        elif how == "no":
            host.say(f"{tag} NO not now" if step != "GREETING" else "* BYE not now")
        elif how == "half":
            host.transport.write(b"* 1 FETCH (UID 1 BODY[] {30}\r\nhalf a ma")
            host.transport.loseConnection()

    it.road.moods[step] = mood
    it.start()
    seen = {it.words}
    for _ in range(60):
        it.road.run(30.0)
        seen.add(it.words)
    it.road.run(1600.0)
    assert it.taken == MAILS
    assert it.box.seen == [1, 2, 3, 4, 5]
    assert it.words == "connected, waiting (IDLE)"
    assert times[0] == 2
    assert all(seen)
    it.stop()
    assert it.clock.getDelayedCalls() == []


@pytest.mark.parametrize("step", [*STEPS, "none"])
def test_stopping_at_any_step_leaves_nothing(step: str) -> None:
    it = desk(*MAILS, start=False)
    if step != "none":
        it.road.moods[step] = lambda host, tag: None
    it.start()
    it.stop()
    assert it.words == "stopped"
    assert it.clock.getDelayedCalls() == []
    it.road.moods.clear()
    it.start()
    assert it.taken == MAILS
    it.stop()


def test_stopping_while_it_waits_to_try_again_or_before_anything() -> None:
    it = desk(start=False)
    it.road.closed = True
    it.start()
    assert it.words == "nobody listens at tcp:127.0.0.1:143: retry in 2 s"
    assert not it.connector.status.able
    it.stop()
    assert it.clock.getDelayedCalls() == []
    never = desk(start=False)
    never.stop()


def test_a_commit_under_way_is_waited_for_at_a_stop_and_marked() -> None:
    it = desk(mail(1), mail(2), start=False)
    it.hub.hold()
    it.start()
    stopping = it.connector.stopService()
    it.road.run()
    it.hub.release()
    it.road.run(1.0)
    assert stopping.called
    assert it.taken == [mail(1)]
    assert it.box.seen == [1]


def test_a_commit_that_ends_after_the_stop_is_marked_at_the_next_start() -> None:
    it = desk(mail(1), start=False, then="delete")
    it.hub.hold()
    it.start()
    it.stop()
    assert list(it.box.mails) == [1]
    it.hub.release()
    assert it.taken == [mail(1)]
    it.start()
    assert it.taken == [mail(1)]
    assert it.box.mails == {}
    it.stop()


def test_what_the_house_does_not_take_stops_the_batch_and_is_not_marked() -> None:
    it = desk(*MAILS, start=False)
    accepted: list[str] = []
    it.hub.on_accept = lambda arrival: accepted.append(arrival.facts["uid"])
    it.hub.hold()
    it.start()
    it.hub.failures.append(TemporaryFailure("the disk is full", 40.0))
    it.hub.release()
    it.road.run()
    assert it.taken == []
    assert it.box.seen == []
    assert it.words == (
        "connected, but the hub cannot take mails just now (the disk is full): retry in 40 s; nothing is marked"
    )
    it.road.run(45.0)
    assert it.taken == MAILS
    assert accepted == ["1", "1", "2", "3", "4", "5"]
    assert it.words == "connected, waiting (IDLE)"
    it.stop()


def test_what_was_taken_before_is_marked_although_the_next_is_not_taken() -> None:
    it = desk(*MAILS, start=False)
    it.hub.on_accept = lambda arrival: it.hub.failures.extend(
        [TemporaryFailure("busy")] if arrival.facts["uid"] == "3" and not it.hub.changes > 3 else []
    )
    it.start()
    assert it.taken == MAILS[:2]
    assert it.box.seen == [1, 2]
    it.road.run(60.0)
    assert it.taken == MAILS
    it.stop()


def test_a_place_that_cannot_be_stored_is_no_loss() -> None:
    it = desk(*MAILS, start=False)
    remember, fails = it.hub.remember, [TemporaryFailure("busy", 5.0)] * 2

    async def failing(key: str, value: bytes) -> None:
        if fails:
            raise fails.pop()
        await remember(key, value)

    it.hub.remember = failing  # type: ignore[method-assign]
    it.start()
    assert "cannot store its place" in it.words
    it.road.run(20.0)
    assert it.taken == MAILS
    assert it.words == "connected, waiting (IDLE)"
    it.stop()


def test_the_same_mails_under_other_numbers_are_only_marked() -> None:
    it = desk(*MAILS)
    it.road.lose()
    it.box.renew()
    it.box.put(mail(9))
    it.road.run(10.0)
    assert it.taken == [*MAILS, mail(9)]
    assert it.box.seen == [1, 2, 3, 4, 5, 6]
    it.stop()


def test_a_mailbox_set_back_to_an_older_state_is_read_again() -> None:
    it = desk(*MAILS)
    it.road.lose()
    for uid in (3, 4, 5):
        del it.box.mails[uid], it.box.flags[uid]
    it.box.next_uid = 3
    it.box.put(mail(7), mail(8))  # under numbers that other mails had
    it.road.run(10.0)
    assert it.taken == [*MAILS, mail(7), mail(8)]
    it.stop()


def test_numbers_with_gaps_are_found_in_windows() -> None:
    it = desk(start=False, batch=10)
    for uid in (5, 400_000, 400_001, 9_000_000):
        it.box.put(mail(uid), uid=uid)
    it.start()
    assert it.taken == [mail(5), mail(400_000), mail(400_001), mail(9_000_000)]
    rounds = len(it.road.said)
    it.box.put(mail(1))
    it.road.hosts[-1].say("* 5 EXISTS")
    it.road.run()
    assert it.taken[-1] == mail(1)
    assert len(it.road.said) < rounds + 10
    it.stop()


def test_where_nothing_was_is_not_looked_through_again() -> None:
    it = desk(mail(1), start=False, idle=False)
    it.box.next_uid = 2_000_000
    it.start()
    it.road.run(61.0)
    before = len(it.road.said)
    it.road.run(60.0)
    assert len(it.road.said) <= before + 5  # SELECT and the last windows, not all forty
    it.box.put(mail(2))
    it.road.run(60.0)
    assert it.taken == [mail(1), mail(2)]
    it.stop()


@pytest.mark.parametrize("abilities", [ABILITIES, ABILITIES.replace("MOVE ", ""), "IMAP4rev1 AUTH=PLAIN"])
@pytest.mark.parametrize("then", ["move:Taken", "delete"])
def test_moving_and_deleting_by_whatever_is_offered(then: str, abilities: str) -> None:
    it = desk(*MAILS, start=False, then=then)
    it.road.abilities = abilities
    it.start()
    assert it.taken == MAILS
    assert it.box.mails == {}
    assert it.box.moved == ({"Taken": MAILS} if then != "delete" else {})
    it.stop()


def test_what_others_marked_as_deleted_is_not_removed_with_ours() -> None:
    it = desk(*MAILS, start=False, then="delete")
    it.road.abilities = "IMAP4rev1 AUTH=PLAIN"
    it.hub.memory["cursor INBOX"] = b'{"validity":7,"uid":2,"unmarked":[]}'
    it.box.flags[1].add("\\Deleted")
    it.start()
    assert it.taken == MAILS[2:]
    assert list(it.box.mails) == [1, 2, 3, 4, 5]
    assert "\\Deleted" not in it.box.flags[2]
    it.stop()


def test_a_missing_folder_to_move_to_is_made() -> None:
    it = desk(mail(1), start=False, then="move:Taken")

    def missing(host: Host, tag: str) -> None:
        host.say(f"{tag} NO [TRYCREATE] no such folder")
        del it.road.moods["UID MOVE"]

    it.road.moods["UID MOVE"] = missing
    it.start()
    assert 'CREATE "Taken"' in it.road.said
    assert it.box.moved == {"Taken": [mail(1)]}
    it.stop()


def test_marks_that_are_refused_are_told_and_tried_again() -> None:
    it = desk(mail(1), start=False)
    it.road.moods["UID STORE"] = lambda host, tag: host.say(f"{tag} NO [NOPERM] read-only")
    it.start()
    assert it.taken == [mail(1)]
    assert it.words == ("connected, waiting (IDLE); mails are taken, but cannot be marked as read in INBOX: read-only")
    assert it.connector.status.able
    it.box.put(mail(2))
    it.road.run(70.0)
    assert it.taken == [mail(1), mail(2)]
    it.road.moods.clear()
    it.road.run(70.0)
    assert it.box.seen == [1, 2]
    assert it.words == "connected, waiting (IDLE)"
    it.stop()


@pytest.mark.parametrize("how", ["no", "nil", "nothing", "break", "endless"])
def test_one_broken_mail_does_not_stop_the_others(how: str) -> None:
    it = desk(*MAILS, start=False, then="delete")

    def broken(host: Host, at: str) -> None:
        if "UID 2" not in at:
            uid = int(at.rpartition(" ")[2])
            host.say(f"* {at} BODY[] {{{len(it.box.mails[uid])}}}\r\n".encode() + it.box.mails[uid] + b")")
        elif how == "no":
            raise AssertionError("refused before it comes to this")
        elif how == "nothing":
            pass
        elif how == "nil":
            host.say(f"* {at} BODY[] NIL)")
        elif how == "break":
            host.transport.abortConnection()
        else:
            host.say(f"* {at} BODY[] {{999999999}}")

    def refuse(host: Host, tag: str) -> None:
        line = host.lines[-1]
        if " UID FETCH 2 (UID BODY" in line:
            host.say(f"{tag} NO [SERVERBUG] i/o error")
        else:
            host.do_UID_FETCH(line.split(" ", 3)[3])
            host.say(f"{tag} OK done")

    if how == "no":
        it.road.moods["UID FETCH"] = refuse
    else:
        it.road.moods["LITERAL"] = broken
    it.start()
    for _ in range(30):
        it.road.run(30.0)
    first, lost, *others = it.hub.arrivals
    assert [one.raw for one in (first, *others)] == [MAILS[0], *MAILS[2:]]
    assert "cannot be fetched (UID 2" in (lost.text or "")
    assert "INBOX" in (lost.text or "")
    assert list(it.box.mails) == [2]  # what is not held is not touched
    assert it.words == "connected, waiting (IDLE)"
    it.stop()


def test_a_mail_that_somebody_removes_meanwhile_is_passed_over() -> None:
    it = desk(*MAILS, start=False)

    def removed(host: Host, at: str) -> None:
        del it.road.moods["LITERAL"], it.box.mails[1], it.box.flags[1]

    it.road.moods["LITERAL"] = removed
    it.start()
    assert it.taken == MAILS[1:]
    assert it.box.seen == [2, 3, 4, 5]
    it.stop()


def test_a_size_that_was_a_lie() -> None:
    it = desk(*MAILS, start=False, largest=10_000)
    it.road.sizes = {1: 3, 2: 9_999_999}
    it.start()
    assert it.taken[0] == MAILS[0]
    assert it.taken[1].startswith(b"From: ana@field.example\r\nSubject: 1\r\n")
    assert b"too large" in it.taken[1]
    assert it.box.seen == [1, 3, 4, 5]
    it.stop()


def test_folders_that_cannot_be_read_do_not_keep_the_others() -> None:
    it = desk(*MAILS, start=False, folder=["INBOX", "Gone"])

    def gone(host: Host, tag: str) -> None:
        if "Gone" in host.lines[-1]:
            host.say(f"{tag} NO no such folder")
        else:
            host.do_SELECT("")
            host.say(f"{tag} OK opened")

    it.road.moods["SELECT"] = gone
    it.start()
    assert it.taken == MAILS
    assert it.words == "connected, waiting (IDLE); the folder Gone cannot be read: no such folder"
    assert it.connector.status.able
    it.stop()
    it.road.moods["SELECT"] = lambda host, tag: host.say(f"{tag} NO no such folder")
    it.start()
    assert not it.connector.status.able
    assert it.words.startswith("connected, polling every 60 s; the folder Gone")
    it.stop()


def test_a_folder_without_lasting_numbers_is_refused_in_words() -> None:
    it = desk(mail(1), start=False)
    it.road.moods["SELECT"] = lambda host, tag: host.say("* 1 EXISTS", f"{tag} OK opened")
    it.start()
    assert "UIDVALIDITY" in it.words
    assert it.taken == []
    it.stop()


def test_a_refused_password_is_tried_ever_more_seldom() -> None:
    it = desk(start=False)
    it.road.moods["AUTHENTICATE"] = lambda host, tag: host.say(f"{tag} NO [AUTHENTICATIONFAILED] wrong")
    it.start()
    assert it.words == ("tcp:127.0.0.1:143: password refused: wrong; check connector.mailbox: retry in 30 s")
    times = []
    for _ in range(7):
        before = len(it.road.hosts)
        begun = it.clock.seconds()
        while len(it.road.hosts) == before:
            it.road.run(5.0)
        times.append(it.clock.seconds() - begun)
    assert times == [30, 60, 120, 240, 480, 600, 600]
    assert "pass word" not in it.words
    it.road.moods.clear()
    it.road.run(600.0)
    assert it.words == "connected, waiting (IDLE)"
    it.stop()


def test_a_server_that_comes_back_is_found_within_two_minutes() -> None:
    it = desk(mail(1))
    it.road.closed = True
    it.road.lose()
    assert not it.connector.status.able
    assert "retry in 2 s" in it.words
    it.road.run(3600.0)
    assert it.words == "nobody listens at tcp:127.0.0.1:143: retry in 120 s"
    it.road.closed = False
    it.box.put(mail(2))
    it.road.run(125.0)
    assert it.taken == [mail(1), mail(2)]
    it.stop()


def test_a_house_that_does_not_know_the_place_is_asked_again() -> None:
    it = desk(mail(1), start=False)
    recall, fails = it.hub.recall, [RuntimeError("the database is away")]

    async def failing(key: str) -> bytes | None:
        if fails:
            raise fails.pop()
        return await recall(key)

    it.hub.recall = failing  # type: ignore[method-assign]
    it.start()
    assert "cannot say how far it has read" in it.words
    it.road.run(10.0)
    assert it.taken == [mail(1)]
    it.stop()


LOST = LineLost("it closed the line")
LOST.__cause__ = SSL.Error([("SSL routines", "", "certificate verify failed")])


@pytest.mark.parametrize(
    ("reason", "words", "settled"),
    [
        (LineLost("no answer within 60 s"), "no line to HERE: no answer within 60 s", False),
        (LOST, "certificate that is not trusted: check connector.box.ca_file", True),
        (SSL.Error([("SSL routines", "", "wrong version number")]), 'connector.box.tls = "starttls"', True),
        (SSL.Error([("SSL routines", "", "internal error")]), "TLS failed there", False),
        (VerificationError(errors=[]), "check connector.box.tls_name", True),
        (error.DNSLookupError(), "leads nowhere", False),
        (error.ConnectionRefusedError(), "nobody listens at HERE", False),
        (error.TimeoutError(), "no answer from HERE", False),
        (error.ConnectError(101, "Network is unreachable"), "no line to HERE: ", False),
        (NotUsable("it is closed"), "HERE: it is closed; check connector.box", True),
        (KeyError("x"), "error of its own (KeyError)", False),
    ],
)
def test_why_there_is_no_line(reason: BaseException, words: str, settled: bool) -> None:
    trouble = explain(reason, "box", "HERE")
    assert words in trouble.words
    assert trouble.settled is settled
    assert trouble.unknown is isinstance(reason, KeyError)
