"""Our reader and the standard library's compat32 parser read the same out of well-formed mail."""

from __future__ import annotations

import email
import email.policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import getaddresses, parsedate_to_datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from msgserver.formats.headers import split_head
from msgserver.formats.mime import read_mail

# Whatever people write, without controls and what the standard library itself refuses or folds differently.
CONTROLS = ("Cc", "Cs", "Cf", "Zl", "Zp", "Zs", "Cn", "Co")
LETTERS = st.characters(codec="utf-8", exclude_categories=CONTROLS, include_characters=" ")
PROSE = st.text(LETTERS, max_size=80).map(lambda text: " ".join(text.split()))
NAME = PROSE.filter(lambda name: not set("()") & set(name))  # the library loses blanks beside them when it folds
LINES = st.lists(PROSE, max_size=8).map(lambda lines: "\n".join(lines).strip("\n"))
FILES = st.lists(st.tuples(st.text("abcxyz é漢.", min_size=1, max_size=12), st.binary(max_size=300)), max_size=3)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(PROSE, LINES, NAME, FILES, st.sampled_from(["7bit", "8bit", "quoted-printable", "base64"]))
def test_written_by_the_standard_library_and_read_by_us(subject, text, name, files, how):
    message = EmailMessage()
    message["Subject"] = subject
    message["From"] = email.headerregistry.Address(name, "ana", "example.org")
    message.set_content(text, cte=how if how != "7bit" or text.isascii() else "base64")
    for number, (file, content) in enumerate(files):
        message.add_attachment(content, maintype="application", subtype="x-test", filename=f"{number}{file}.bin")
    reading = read_mail(message.as_bytes(policy=email.policy.SMTP))
    assert reading.subject == subject
    assert (reading.sender_name, str(reading.sender)) == (name, "mailto:ana@example.org")
    assert reading.text == "\n".join(line.rstrip() for line in text.split("\n")).rstrip() or (
        reading.text.rstrip() == text.rstrip()
    )
    assert [file.content for file in reading.attachments] == [content for _, content in files]
    assert reading.complete


def test_the_standard_mails_read_alike(standard_mails):
    for raw in standard_mails:
        other = email.message_from_bytes(raw)
        reading = read_mail(raw)
        if other["subject"] and "=?" not in other["subject"]:
            assert reading.subject == " ".join(str(make_header(decode_header(other["subject"]))).split())
        if other["from"]:
            addresses = [address.lower() for _, address in getaddresses([other["from"]]) if "@" in address]
            assert (reading.sender.value if reading.sender else None) == (addresses[0] if addresses else None)
        if other["date"]:
            assert reading.date == parsedate_to_datetime(other["date"]).timestamp()


def test_the_standard_mails_have_the_same_fields(standard_mails):
    for raw in standard_mails:
        other = email.message_from_bytes(raw)
        fields, _, _ = split_head(raw, 0, len(raw), 100_000)
        assert sorted(fields) == sorted({name.lower() for name in other.keys()})  # noqa: SIM118 - not a dict


def test_every_part_of_the_standard_mails_is_found(standard_mails):
    """What compat32 finds as a leaf's content is in our text, HTML or attachments (nothing is lost)."""
    for raw in standard_mails:
        other = email.message_from_bytes(raw)
        reading = read_mail(raw)
        if other.defects or not reading.complete or any("guessed" in words for words in reading.trouble):
            continue
        ours = b"".join(file.content for file in reading.attachments) + reading.text.encode() + reading.html.encode()
        for part in other.walk():
            if part.is_multipart() or part.get_content_maintype() == "text":
                continue
            content = part.get_payload(decode=True) or b""
            assert content.strip() in ours


def test_readable_text_of_nearly_all_standard_mails(standard_mails):
    readable = 0
    for raw in standard_mails:
        other = email.message_from_bytes(raw)
        texts = [p.get_payload(decode=True).strip() for p in other.walk() if p.get_content_type() == "text/plain"]
        reading = read_mail(raw)
        readable += bool(reading.text.strip()) or not any(texts)
        assert "\ufffd" not in reading.text
    assert readable >= 0.98 * len(standard_mails)
