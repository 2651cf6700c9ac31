"""Mail made to hurt its reader, by name: what broke parsers before, and what could break ours."""

from __future__ import annotations


def nested(depth: int, kind: bytes = b"mixed") -> bytes:
    levels = [
        b'Content-Type: multipart/%s; boundary="b%d"\r\n\r\n--b%d\r\n' % (kind, level, level) for level in range(depth)
    ]
    return b"Subject: x\r\n" + b"".join(levels) + b"Content-Type: text/plain\r\n\r\nhi"


def html(body: bytes) -> bytes:
    return b"Content-Type: text/html; charset=utf-8\r\n\r\n" + body


def multipart(body: bytes) -> bytes:
    return b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + body


def report(body: bytes) -> bytes:
    return (
        b"Content-Type: multipart/report; boundary=b; report-type=delivery-status\r\n\r\n--b\r\n\r\nx\r\n"
        b"--b\r\nContent-Type: message/delivery-status\r\n\r\n" + body + b"--b--"
    )


def bounced(body: bytes) -> bytes:
    return b"From: mailer-daemon@x\r\nSubject: failure notice\r\n\r\n" + body


CHARSETS = (
    b"x-nope", b"utf-8\0", b"rot13", b"idna", b"utf-7", b"utf-16", b"base64", b"unicode_escape", b"../../etc",
    b"punycode", b"utf-8-sig", b"cp1252", b"zlib", b"hex", b"undefined", b"iso-2022-jp", b"hz", b"utf-32", b"mbcs",
)  # fmt: skip

HOSTILE: dict[str, bytes] = {
    # structure
    "1,000 multiparts inside each other": nested(1_000),
    "10,000 multiparts inside each other": nested(10_000),
    "alternatives inside each other": nested(1_000, b"alternative"),
    "one boundary for all levels": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    + b"--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" * 20_000,
    "100,000 parts": multipart(b"--b\r\n\r\nx\r\n" * 100_000),
    "500,000 empty parts": multipart(b"--b\r\n" * 500_000),
    "lines like boundaries": multipart(b"--c\r\n" * 4_000_000),
    "lines like boundaries, deep": nested(49) + b"\r\n--c" * 2_000_000,
    "lines that begin like the boundary": multipart(b"--bb\r\n" * 2_000_000),
    "boundaries to be guessed": b"Content-Type: multipart/mixed\r\n\r\n" + b"\n--abcd--abcd--abcd" * 100_000,
    "many boundaries to be guessed": b"Content-Type: multipart/mixed\r\n\r\n"
    + b"".join(b"\n--abcd%d" % number for number in range(500_000)),
    "messages inside messages": b"Content-Type: message/rfc822\r\n\r\n" * 100_000 + b"Subject: in\r\n\r\nhi",
    # header blocks
    "400,000 headers": b"".join(b"X-%d: y\r\n" % number for number in range(400_000)) + b"\r\nx",
    "a header of 5 MB": b"Subject: " + b"a" * 5_000_000 + b"\r\n\r\nx",
    "one line of 20 MB": b"a" * 20_000_000,
    "5,000,000 lines that are no headers": b"a\r\n" * 5_000_000,
    "carriage returns only": b"Subject: x\r" * 100_000 + b"\r\rbody",
    # fields
    "90,000 open comments": b"To: " + b"(" * 90_000 + b"\r\n\r\nx",
    "2,000 comments and an address": b"To: " + b"(" * 2_000 + b"a@b\r\n\r\nx",
    "an address literal left open": b"To: a@[\r\n\r\nx",
    "a message id left open": b"Message-ID: <\r\n\r\nx",
    "14,000 recipients": b"To: " + b"a@b.c, " * 14_000 + b"\r\n\r\nx",
    "90,000 quotes": b"To: " + b'"' * 90_000 + b"\r\n\r\nx",
    "90,000 backslashes": b'To: "' + b"\\" * 90_000 + b"\r\n\r\nx",
    "90,000 angle brackets": b"To: " + b"<" * 90_000 + b"\r\n\r\nx",
    "20,000 encoded words": b"Subject: " + b"=?utf-8?q?a?= " * 20_000 + b"\r\n\r\nx",
    "20,000 folded encoded words": b"Subject: " + b"=?utf-8?q?a?=\r\n " * 20_000 + b"\r\n\r\nx",
    "encoded words without an end": b"From: " + b"=?utf-8?q?y" * 9_000 + b" <a@b>\r\n\r\nx",
    "15,000 references": b"References: " + b"<a@b> " * 15_000 + b"\r\n\r\nx",
    "references without an end": b"References: " + b"<" * 90_000 + b"\r\n\r\nx",
    "15,000 parameters": b"Content-Type: text/plain" + b"; a=b" * 15_000 + b"\r\n\r\nx",
    "90,000 semicolons": b"Content-Type: text/plain" + b";" * 90_000 + b"\r\n\r\nx",
    "quoted pairs": b'Content-Type: text/plain; a="' + b'\\"' * 45_000 + b"\r\n\r\nx",
    "a parameter of blanks": b"Content-Type: text/plain;" + b" " * 90_000 + b"\r\n\r\nx",
    "5,000 continuations": b"Content-Type: text/plain"
    + b"".join(b"; name*%d*=utf-8''%%ff" % number for number in range(5_000))
    + b"\r\n\r\nx",
    "dates without an end": b"Date: " + b"1 Jan " * 15_000 + b"\r\n\r\nx",
    "a year of many digits": b"Date: 99999999999999999999999 Jan 2020 99:99:99 +9999\r\n\r\nx",
    "a date and 90,000 blanks": b"Date: 1 Jan 2020 10:00" + b" " * 90_000 + b"\r\n\r\nx",
    "a subject of blanks": b"Subject: " + b" \t" * 45_000 + b"x\r\n\r\nx",
    "a way up 30,000 folders": b'Content-Disposition: attachment; filename="' + b"../" * 30_000 + b'"\r\n\r\nx',
    # transfer encodings and charsets
    "base64 that is none": b"Content-Transfer-Encoding: base64\r\n\r\n" + bytes(range(256)) * 40_000,
    "quoted-printable that is none": b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b"=" * 2_000_000,
    "uuencoded in short lines": b"Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 x\n" + b"M\n" * 2_000_000,
    "NUL": b"\r\n" + b"\0" * 2_000_000,
    "C1 controls": b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + b"\xc2\x80" * 1_000_000,
    "lone surrogates": b"Content-Type: text/plain; charset=utf-7\r\n\r\n" + b"+2AA-" * 500_000,
    "half UTF-8": b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + b"\xe9a" * 5_000_000,
    "no charset at all": b"\r\n" + b"\xe9\xf0" * 5_000_000,
    "escapes of ISO-2022-JP": b"\r\n" + b"\x1b$B" * 3_000_000,
    # HTML
    "2,000,000 times <": html(b"<" * 2_000_000),
    "tags without an end": html(b"<a " * 600_000),
    "comments without an end": html(b"<!--" * 500_000),
    "closing tags without an end": html(b"</" * 1_000_000),
    "200,000 elements deep": html(b"<div>" * 200_000),
    "formatting elements left open": html(b"<b>" * 299 + b"<p>" * 50_000),
    "formatting elements crossed": html(b"<b><i></b></i>" * 30_000),
    "tables inside tables": html(b"<table><tr><td>" * 290 + b"x<p>" * 20_000),
    "words between rows": html(b"<table>" + b"<a>x" * 60_000),
    "60,000 attributes": html(b"<a " + b"".join(b"x%d=1 " % number for number in range(60_000)) + b">"),
    "quotes left open": html(b'<a x="' * 200_000),
    "a character number of a million digits": html(b"&#" + b"9" * 1_000_000),
    "scripts left open": html(b"<script>" * 60_000),
    "pictures half closed": html(b"<svg></svg" * 60_000),
    "40,000 quotations": html(b"<blockquote>x" * 40_000),
    "no-break spaces": html("\u200b\xa0".encode() * 300_000),
    "200,000 lines": html(b"<br> " * 200_000),
    "links without an address": html(b"<a " + b"href=" * 200_000 + b">"),
    "3,000,000 paragraphs": html(b"<p>x</p>" * 3_000_000),
    # text
    "2,000,000 quoted lines": b"\r\n" + b"> \r\n" * 2_000_000,
    "200,000 times wrote": b"\r\n" + b"On 10:00 <a@b> wrote:\r\n" * 200_000,
    "long lines of addresses": b"\r\n" + (b"<a@b>" * 50 + b" wrote:\r\n") * 20_000,
    "300,000 times From": b"\r\n" + b"From: x\r\n" * 300_000,
    "dashes": b"\r\n" + (b"- " * 150 + b"\r\n") * 20_000,
    "flowed without an end": b"Content-Type: text/plain; format=flowed\r\n\r\n" + b"a \r\n" * 2_000_000,
    "24 MB of text": b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + "й".encode() * 12_000_000,
    # bounces
    "a bounce of 200,000 addresses": bounced(b"a@b.cc " * 200_000),
    "a bounce of one word": bounced(b"a" * 200_000),
    "a bounce of blank lines": bounced(b"\n " * 200_000),
    "a report of 100,000 recipients": report(b"Final-Recipient: rfc822;a@b\r\n\r\n" * 100_000),
    "a report of lines that are no fields": report(b"a\r\n" * 1_000_000),
    **{
        f"charset {name!r}": b'Content-Type: text/plain; charset="' + name + b'"\r\n\r\ncaf\xe9 \xff \x1b$B~{'
        for name in CHARSETS
    },
}
