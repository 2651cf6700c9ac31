"""Machines' mail: told from people's, and bounces understood."""

from __future__ import annotations

import pytest

from msgserver.formats.mime import read_mail
from msgserver.message import Address


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("Auto-Submitted: no", ""),
        ("Auto-Submitted: auto-replied", "auto-replied"),
        ("Auto-Submitted: auto-generated; owner-email=x", "auto-generated"),
        ("Auto-Submitted: AUTO-REPLIED (vacation)", "auto-replied"),
        ("Auto-Submitted: something-new", "auto-generated"),
        ("Precedence: bulk", "bulk"),
        ("Precedence: list", "list"),
        ("Precedence: auto_reply", "auto-replied"),
        ("Precedence: first-class", ""),
        ("List-Id: <desk.example>", "list"),
        ("List-Unsubscribe: <mailto:x@y>", "list"),
        ("X-Auto-Response-Suppress: DR, OOF, AutoReply", "suppressed"),
        ("X-Auto-Response-Suppress: none", ""),
        ("X-Autoreply: yes", "auto-replied"),
        ("X-Autorespond: x", "auto-replied"),
        ("X-Autoresponder: x", "auto-replied"),
        ("X-Loop: desk@x", "loop"),
        ("Return-Path: <>", "no-return"),
        ("Return-Path: <ana@x.org>", ""),
        ("From: MAILER-DAEMON@x.org", "bounce"),
        ("From: Postmaster <postmaster@x.org>", "bounce"),
        ("From: no-reply@x.org", "no-reply"),
        ("From: donotreply@x.org", "no-reply"),
        ("From: owner-list@x.org", "no-reply"),
        ("From: list-request@x.org", "no-reply"),
        ("From: nora@x.org", ""),
        ("From: bouncer@x.org", ""),
        ("Subject: Automatic reply: away", "auto-replied"),
        ("Subject: Out of Office: Ana", "auto-replied"),
        ("Subject: Abwesenheitsnotiz", "auto-replied"),
        ("Subject: Réponse automatique : absent", "auto-replied"),
        ("Subject: автоответ", "auto-replied"),
        ("Subject: automatic doors broken", ""),
        ("X-Failed-Recipients: a@b.c", "bounce"),
        ("Content-Type: multipart/report; report-type=disposition-notification; boundary=b", "receipt"),
        ("Content-Type: multipart/report; report-type=delivery-status; boundary=b", "bounce"),
    ],
)
def test_why_it_is_a_machine(header, why):
    sender = "" if header.startswith("From:") else "From: ana@x.org\r\n"
    assert read_mail(f"{sender}{header}\r\n\r\nx".encode()).robot == why


def dsn(fields: str, returned: str = "Message-ID: <sent.1@hub.example>\r\nSubject: Road") -> bytes:
    return (
        "From: MAILER-DAEMON@mx.example\r\nTo: hub+b.42@hub.example\r\nSubject: Undelivered Mail\r\nReturn-Path: <>\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n--b\r\n\r\nSorry.\r\n'
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n"
        f"Original-Envelope-Id: d7.abc\r\n\r\n{fields}\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n{returned}\r\n"
        "\r\nx\r\n--b--\r\n"
    ).encode()


def test_a_delivery_status_notification():
    reading = read_mail(
        dsn(
            "Final-Recipient: rfc822; ana@x.org\r\nAction: failed\r\nStatus: 5.1.1\r\n"
            "Diagnostic-Code: smtp; 550 5.1.1 <ana@x.org>:\r\n  user unknown"
        )
    )
    bounce = reading.bounce
    assert reading.robot == "bounce"
    assert bounce.recipient == Address("mailto", "ana@x.org")
    assert (bounce.message_id, bounce.envelope_id) == ("sent.1@hub.example", "d7.abc")
    assert (bounce.permanent, bounce.delayed, bounce.delivered, bounce.status) == (True, False, False, "5.1.1")
    assert bounce.words == "550 5.1.1 <ana@x.org>: user unknown"
    assert reading.text == "Sorry."


@pytest.mark.parametrize(
    ("action", "status", "permanent", "delayed", "delivered"),
    [
        ("failed", "5.1.1", True, False, False),
        ("failed", "5.2.2", False, False, False),
        ("failed", "5.7.1", False, False, False),
        ("failed", "4.4.7", False, False, False),
        ("delayed", "4.4.1", False, True, False),
        ("delivered", "2.0.0", False, False, True),
        ("relayed", "2.0.0", False, False, False),
        ("Failed (bad)", "5.1.10", True, False, False),
    ],
)
def test_actions_and_classes(action, status, permanent, delayed, delivered):
    bounce = read_mail(dsn(f"Final-Recipient: rfc822;a@x.org\r\nAction: {action}\r\nStatus: {status}")).bounce
    assert (bounce.permanent, bounce.delayed, bounce.delivered) == (permanent, delayed, delivered)


def test_one_bounce_a_recipient_and_the_address_we_wrote_to():
    reading = read_mail(
        dsn(
            "Original-Recipient: rfc822;ana@x.org\r\nFinal-Recipient: rfc822;a1@y.org\r\nAction: failed\r\n"
            "Status: 5.0.0\r\n\r\nFinal-Recipient: rfc822;bo@x.org\r\nAction: failed\r\nStatus: 4.2.2"
        )
    )
    assert [bounce.recipient.value for bounce in reading.bounces] == ["ana@x.org", "bo@x.org"]


PROSE = {
    "qmail": (
        (
            "From: MAILER-DAEMON@x.org\r\nSubject: failure notice\r\n\r\n"
            "Hi. This is the qmail-send program at x.org.\r\n"
            "I'm afraid I wasn't able to deliver your message to the following addresses.\r\n\r\n<ana@y.org>:\r\n"
            "192.0.2.1 does not like recipient.\r\nRemote host said: 550 5.1.1 no such user\r\n\r\n"
            "--- Below this line is a copy of the message.\r\n\r\nReturn-Path: <hub@hub.example>\r\n"
            "Message-ID: <sent.1@hub.example>\r\nSubject: x\r\n\r\nHello\r\n"
        ),
        "5.1.1",
    ),
    "Exim": (
        (
            "From: Mail Delivery System <Mailer-Daemon@x.org>\r\nX-Failed-Recipients: ana@y.org\r\n"
            "Subject: Mail delivery failed: returning message to sender\r\n\r\n"
            "This message was created automatically by mail delivery software.\r\n\r\n  ana@y.org\r\n"
            "    host mx.y.org [192.0.2.1]\r\n    SMTP error from remote mail server after RCPT TO:<ana@y.org>:\r\n"
            "    550 User unknown\r\n\r\n------ This is a copy of the message, including all the headers. ------\r\n"
            "\r\n"
            "Message-Id: <sent.1@hub.example>\r\n\r\nHello\r\n"
        ),
        "",
    ),
    "another": (
        (
            "From: postmaster@y.org\r\nSubject: Undeliverable: Road\r\nIn-Reply-To: <sent.1@hub.example>\r\n\r\n"
            "Your message did not reach some recipients:\r\n\r\n  ana@y.org\r\n\r\nThe mailbox does not exist.\r\n"
        ),
        "",
    ),
}


@pytest.mark.parametrize("name", PROSE)
def test_bounces_in_prose(name):
    raw, status = PROSE[name]
    (bounce,) = read_mail(raw.encode()).bounces
    assert bounce.recipient == Address("mailto", "ana@y.org")
    assert bounce.message_id == "sent.1@hub.example"
    assert bounce.status == status
    assert bounce.permanent
    assert bounce.words


def test_a_delay_in_prose_is_no_failure():
    raw = (
        b"From: MAILER-DAEMON@x.org\r\nSubject: Warning: message delayed 4 hours\r\nX-Failed-Recipients: ana@y.org\r\n"
        b"\r\nYour message could not be delivered for the last 4 hours. It will be retried.\r\n451 try later\r\n"
    )
    bounce = read_mail(raw).bounce
    assert (bounce.delayed, bounce.permanent) == (True, False)


def test_a_persons_mail_about_a_failure_is_no_bounce():
    reading = read_mail(b"From: ana@x.org\r\nSubject: delivery failure\r\n\r\n<bo@y.org>:\r\n550 he says")
    assert (reading.robot, reading.bounces) == ("", ())


def test_the_standard_bounces(standard_mails):
    reports = [read_mail(raw) for raw in standard_mails if b"multipart/report" in raw.lower()]
    found = [reading for reading in reports if reading.bounces]
    assert len(found) >= 3
    assert all(bounce.recipient for reading in found for bounce in reading.bounces)


@pytest.mark.parametrize(
    "sender", ["MAILER-DAEMON <>", "<>", "Mail Delivery Subsystem <MAILER-DAEMON>", "mailer-daemon"]
)
def test_mailers_without_an_address(sender):
    raw = (
        f"From: {sender}\r\nTo: hub@hub.example\r\nSubject: Mail delivery failed\r\n\r\n"
        "There was an error delivering your mail to <ana@y.org>.\r\n\r\nmx.y.org did not like our RCPT TO:\r\n"
        "550 5.1.1 <ana@y.org> user unknown\r\n\r\nMessage headers follow.\r\n\r\nTo: <bo@z.org>\r\n"
        "Message-Id: <sent.1@hub.example>\r\n"
    )
    (bounce,) = read_mail(raw.encode()).bounces
    assert (bounce.recipient.value, bounce.message_id) == ("ana@y.org", "sent.1@hub.example")


def test_a_status_part_in_a_mail_that_is_no_report():
    raw = dsn("Original-Recipient: <ana@y.org>\r\nAction: failed\r\nStatus: 5.1.1").replace(
        b"multipart/report; report-type=delivery-status", b"multipart/mixed"
    )
    assert read_mail(raw).bounce.recipient == Address("mailto", "ana@y.org")


def test_a_report_without_its_status_part_is_read_as_prose():
    raw = (
        b"From: MAILER-DAEMON@y.org\r\nSubject: FAILURE NOTICE\r\nContent-Type: multipart/report; boundary=b\r\n\r\n"
        b"--b\r\n\r\n>>> ana@y.org <ana@y.org>\r\n550 sorry, no mailbox here by that name (#5.1.1)\r\n"
        b"--b\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: <sent.1@hub.example>\r\n\r\nx\r\n--b--\r\n"
    )
    (bounce,) = read_mail(raw).bounces
    assert (bounce.recipient.value, bounce.message_id, bounce.status) == ("ana@y.org", "sent.1@hub.example", "5.1.1")


def test_a_complaint_is_no_bounce():
    raw = b"From: fbl@x.org\r\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\nx"
    assert read_mail(raw).robot == "feedback"
