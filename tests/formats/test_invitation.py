"""Invitations in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.formats.invitation import invitation, summary
from msgserver.formats.mime import read_mail

CALENDAR = (
    "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VTIMEZONE\r\nTZID:Europe/Paris\r\nDTSTART:19700101T000000\r\n"
    "END:VTIMEZONE\r\nBEGIN:VEVENT\r\nSUMMARY:Coordination meeting\\, nor\r\n th\r\n"
    'DTSTART;TZID=Europe/Paris:20261201T090000\r\nDTEND;TZID="Europe/Paris":20261201T100000\r\nLOCATION:School\r\n'
    'ORGANIZER;CN="Rai: chief":MAILTO:rai@clinic.example\r\nDESCRIPTION:Bring maps.\\nAnd water\\; both.\r\n'
    "BEGIN:VALARM\r\nDESCRIPTION:ring\r\nEND:VALARM\r\nRRULE:FREQ=WEEKLY;COUNT=3\r\nEND:VEVENT\r\n"
    "BEGIN:VEVENT\r\nSUMMARY:another\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)
SAID = (
    "Invitation: Coordination meeting, north\nWhen: 2026-12-01 09:00 to 10:00 (Europe/Paris)\nAgain: weekly\n"
    "Where: School\nFrom: Rai: chief <rai@clinic.example>\n\nBring maps.\nAnd water; both."
)


def test_an_invitation_in_full():
    assert invitation(CALENDAR) == SAID
    assert summary(CALENDAR) == "Coordination meeting, north"


def event(*lines: str, method: str = "REQUEST") -> str:
    return "\n".join(["BEGIN:VCALENDAR", f"METHOD:{method}", "BEGIN:VEVENT", *lines, "END:VEVENT"])


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("DTSTART:20261201T090000Z", "DTEND:20261202T100000Z"), "When: 2026-12-01 09:00 to 2026-12-02 10:00 (UTC)"),
        (("DTSTART;VALUE=DATE:20261201", "DTEND;VALUE=DATE:20261202"), "When: 2026-12-01 to 2026-12-02"),
        (("DTSTART:20261201T090000",), "When: 2026-12-01 09:00"),
        (
            ("DTSTART;TZID=Asia/Kabul:20261201T090000", "DTEND:20261201T070000Z"),
            "When: 2026-12-01 09:00 to 07:00 (Asia/Kabul, UTC)",
        ),
    ],
)
def test_times(lines, said):
    assert invitation(event(*lines)).split("\n")[1] == said


def test_other_methods():
    assert invitation(event("SUMMARY:x", method="CANCEL")) == "Cancelled: x"
    assert invitation(event("SUMMARY:x", method="PUBLISH")) == "Event: x"
    answer = event("SUMMARY:x", "ATTENDEE;CN=Bo;PARTSTAT=DECLINED:mailto:bo@x.example", method="REPLY")
    assert invitation(answer) == "Answer: x\nWho: Bo <bo@x.example> declines"
    assert invitation("BEGIN:VCALENDAR\nMETHOD:REQUEST\nEND:VCALENDAR") == ""


@given(st.text())
def test_any_text_is_taken(text):
    invitation(text)
    assert invitation(event(f"SUMMARY:{text}")).startswith("Invitation: ")


def mail(words: str, calendar: str = CALENDAR) -> bytes:
    return (
        "From: a@x.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n"
        + (f"--b\r\nContent-Type: text/plain\r\n\r\n{words}\r\n" if words else "")
        + f"--b\r\nContent-Type: text/calendar; charset=utf-8; method=REQUEST\r\n\r\n{calendar}\r\n--b--\r\n"
    ).encode()


def test_a_mail_says_the_event_that_it_does_not_speak_of():
    assert read_mail(mail("")).text == SAID
    assert read_mail(mail("You are invited.")).text == f"You are invited.\n\n{SAID}"
    spoken = "The coordination meeting, north is at 9"
    assert read_mail(mail(spoken)).text == spoken
    quoted = read_mail(mail("Come.\r\n\r\nOn Monday, Desk wrote:\r\n> when?\r\n"))
    assert quoted.fresh.strip() == f"Come.\n\n{SAID}"
    assert quoted.text.endswith("> when?")
    assert [one.name for one in quoted.attachments] == ["invitation.ics"]


def test_a_calendar_that_is_the_whole_mail():
    raw = f"From: a@x.example\r\nContent-Type: text/calendar\r\n\r\n{CALENDAR}".encode()
    assert read_mail(raw).text == SAID
    assert read_mail(raw.replace(b"VEVENT", b"VTODO")).text == ""
