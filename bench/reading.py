"""How fast mail is read, against the standard library: ``python bench/reading.py``.

Prints, for three kinds of mail, microseconds a mail and the ratio to the ``email`` package with its default policy
(and with compat32), each reading subject, people, text and attachments; then the same through a worker process.
"""

from __future__ import annotations

import email
import email.policy
import os
import time
from base64 import encodebytes
from collections.abc import Callable
from email.header import decode_header, make_header
from email.message import Message
from email.utils import getaddresses, parsedate_to_datetime
from typing import Any

from twisted.internet import task
from twisted.internet.defer import ensureDeferred

from msgserver.formats.mime import read_mail
from msgserver.workers.pool import WorkerPool

HEAD = b"""Received: from mx.example.org (mx.example.org [192.0.2.7]) by hub.example with ESMTPS id 4Xk\r
\tfor <desk@hub.example>; Mon, 3 Nov 2025 10:00:03 +0000\r
Received: from [10.0.0.5] by mx.example.org with ESMTPSA id 77; Mon, 3 Nov 2025 10:00:01 +0000\r
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=k1; h=from:to:subject:date;\r
 bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=dzdVyOfAKCdLXdJOc9G2q8LoXSlEniSbav+yuU4zGeeruD00lszZVoG4ZHRNiYzR\r
From: =?utf-8?q?Ana_Mar=C3=ADa?= <ana@example.org>\r
To: Desk <desk@hub.example>\r
Subject: Road to the bridge is =?utf-8?b?Y2VycmFkbw==?=\r
Message-ID: <20251103100000.77@example.org>\r
Date: Mon, 3 Nov 2025 10:00:00 +0000\r
MIME-Version: 1.0\r
"""
LINE = b"The water stands at two metres and rises; forty people wait on the school's roof.\r\n"


def one_kib() -> bytes:
    """A plain text mail of about a kilobyte."""
    head = HEAD + b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    return (head + LINE * 20)[:1_400]


def rich() -> bytes:
    """Text and HTML, 100 KiB together."""
    html = b"<html><body>" + b"<p>" * 1 + b"".join(b"<p>" + LINE + b"</p>" for _ in range(500)) + b"</body></html>"
    return (
        HEAD
        + b'Content-Type: multipart/alternative; boundary="b1"\r\n\r\n'
        + b"--b1\r\nContent-Type: text/plain; charset=utf-8\r\n"
        + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
        + LINE * 550
        + b"\r\n--b1\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
        + html
        + b"\r\n--b1--\r\n"
    )


def large() -> bytes:
    """A mail with an attachment of 5 MiB on the wire."""
    return (
        HEAD
        + b'Content-Type: multipart/mixed; boundary="b1"\r\n\r\n'
        + b"--b1\r\nContent-Type: text/plain\r\n\r\nSee the plan.\r\n"
        + b'--b1\r\nContent-Type: application/pdf; name="plan.pdf"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
        + encodebytes(os.urandom(3_700_000)).replace(b"\n", b"\r\n")
        + b"--b1--\r\n"
    )


def with_default(raw: bytes) -> object:
    """What the standard library does by its own means."""
    message = email.message_from_bytes(raw, policy=email.policy.default)
    body = message.get_body(("plain", "html"))
    return (
        str(message["subject"]), message["from"].addresses, message["to"].addresses, message["date"].datetime,
        body.get_content() if body else "", [part.get_payload(decode=True) for part in message.iter_attachments()],
    )  # fmt: skip


def with_compat32(raw: bytes) -> object:
    """The older interface, decoded by hand."""
    message: Message = email.message_from_bytes(raw)
    texts, files = [], []
    for part in message.walk():
        if part.is_multipart():
            continue
        content = part.get_payload(decode=True)
        if part.get_content_maintype() == "text":
            texts.append(content.decode(part.get_content_charset("utf-8"), "replace"))
        else:
            files.append(content)
    return (
        str(make_header(decode_header(message["subject"]))), getaddresses([message["from"]]),
        getaddresses([message["to"]]), parsedate_to_datetime(message["date"]), texts, files,
    )  # fmt: skip


def rate(read: Callable[[bytes], object], raw: bytes, seconds: float = 0.5) -> float:
    """The best of three: microseconds a mail."""
    best = float("inf")
    for _ in range(3):
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds / 3 or not count:
            read(raw)
            count += 1
        best = min(best, (time.perf_counter() - start) / count * 1e6)
    return best


def main() -> None:
    """Print the table."""
    print(f"{'':22}{'ours':>10}{'default':>12}{'compat32':>12}   (microseconds a mail)")
    for name, raw in (("1 KiB text", one_kib()), ("100 KiB text + HTML", rich()), ("5 MiB attachment", large())):
        ours, default, compat = (rate(read, raw) for read in (read_mail, with_default, with_compat32))
        print(f"{name:22}{ours:10.0f}{default:12.0f}{compat:12.0f}   {default / ours:.1f}x / {compat / ours:.1f}x")


async def through_a_worker(reactor: Any) -> None:
    """Print mails a second through one reader process, and what they cost the hub's own process."""
    pool = WorkerPool(reactor)
    pool.startService()
    await pool.read_mails([one_kib()])
    print(f"{'through a worker':22}{'mails/s':>10}{'hub, microseconds a mail':>28}")
    for name, raw, count in (("1 KiB text", one_kib(), 3_000), ("5 MiB attachment", large(), 6)):
        cpu, start = time.process_time(), time.perf_counter()
        await pool.read_mails([raw] * count)
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        print(f"{name:22}{count / wall:10.1f}{cpu / count * 1e6:28.0f}")
    await pool.stopService()


if __name__ == "__main__":
    main()
    task.react(lambda reactor: ensureDeferred(through_a_worker(reactor)))
