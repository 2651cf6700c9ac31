from msgserver.connector import Limits
from msgserver.message import Address, Attachment
from msgserver.records import Claimed
from msgserver.routing.conversation import Tokens
from msgserver.routing.render import delivery_of, envelope_of, ref_of, text_hash

SIGNER = Tokens(b"k" * 32)
MAIL = Limits(html=True, attachments=True)
CHAT = Limits(text_length=60_000)
SMS = Limits(text_length=160)


def claimed(**changes: object) -> Claimed:
    values = {
        "id": 17, "attempt": 1, "address": "mailto:ana@example.org", "to_name": "Ana", "connector": "mail",
        "priority": 2, "expires": 99.0, "copy": False, "why": "", "message_id": 3,
        "message_uid": "01234567-89ab-cdef-0123-456789abcdef", "ticket_id": 42, "number": 2, "subject": "Water",
        "body": "Help is coming", "html": "<p>Help is coming</p>", "sender": "", "sender_name": "", "source": "",
        "author": "Bo", "automatic": False, "references": ("a@x", "b@x"),
        "attachments": (Attachment("map.png", "image/png", b"png"),),
    }  # fmt: skip
    return Claimed(**{**values, **changes})  # type: ignore[arg-type]


def test_an_answer_as_mail_is_threaded_and_carries_the_ticket():
    envelope = envelope_of(claimed(), MAIL, SIGNER, "Relief desk")
    assert envelope.subject == "Re: [#42] Water"
    assert envelope.sender == "Bo (Relief desk)"
    assert envelope.to == Address("mailto", "ana@example.org")
    assert envelope.text.startswith("Help is coming")
    assert "<p>Help is coming</p>" in envelope.html
    assert envelope.attachments[0].name == "map.png"
    assert envelope.thread.in_reply_to == "b@x"
    assert envelope.thread.references == ("a@x", "b@x")
    assert SIGNER.ticket(envelope.thread.token) == 42
    assert (envelope.priority, envelope.expires_at, envelope.automatic) == (2, 99.0, False)


def test_a_new_message_is_no_reply():
    assert envelope_of(claimed(references=()), MAIL, SIGNER, "Relief desk").subject == "[#42] Water"


def test_chat_and_text_get_plain_words_only():
    for limits in (CHAT, SMS):
        envelope = envelope_of(claimed(), limits, SIGNER, "Relief desk")
        assert (envelope.text, envelope.html, envelope.attachments) == ("Help is coming", "", ())


def test_a_copy_says_whose_words_they_are_and_answers_nobody():
    copy = claimed(
        copy=True, why="you subscribed to Floods", sender="sms:+1555", source="modem1", author="", body="rising " * 100
    )
    mail = envelope_of(copy, MAIL, SIGNER, "Relief desk")
    assert mail.sender == "+1555 (Relief desk)"
    assert mail.subject == "[#42] Water"
    assert "From +1555 by modem1" in mail.text
    assert "you subscribed to Floods" in mail.text
    assert mail.automatic
    shown = envelope_of(claimed(copy=True, subject="", body="Flood at the bridge,\n30 people " * 9), MAIL, SIGNER, "x")
    assert shown.subject == "[#42] Flood at the bridge, 30 people Flood at the bridge, 30…"
    assert envelope_of(claimed(subject="", references=()), MAIL, SIGNER, "x").subject == "[#42]"
    text = envelope_of(copy, SMS, SIGNER, "Relief desk")
    assert text.text.startswith("#42 +1555: ")
    assert len(text.text) <= 160


def test_the_ref_is_the_same_at_every_attempt_and_names_the_delivery():
    first, second = claimed(), claimed(attempt=2)
    assert ref_of(first) == ref_of(second) == "d17.456789abcdef"
    assert delivery_of(ref_of(first)) == 17
    assert [delivery_of(word) for word in ("", "17", "dx.1", "x17.1")] == [None] * 4


def test_the_hash_is_of_the_words():
    one = envelope_of(claimed(), MAIL, SIGNER, "Relief desk")
    again = envelope_of(claimed(attempt=5), MAIL, SIGNER, "Relief desk")
    other = envelope_of(claimed(body="Other"), MAIL, SIGNER, "Relief desk")
    assert text_hash(one) == text_hash(again) != text_hash(other)


def test_files_carry_links_that_are_the_same_at_every_attempt():
    first = envelope_of(claimed(attachment_ids=(7,)), MAIL, SIGNER, "Relief desk", "https://hub.example")
    again = envelope_of(claimed(attachment_ids=(7,), attempt=2), MAIL, SIGNER, "Relief desk", "https://hub.example")
    link = first.attachments[0].link
    assert link == again.attachments[0].link
    assert link.startswith("https://hub.example/files/")
    assert SIGNER.filed(link.rpartition("/")[2], 10.0) == 7
    assert SIGNER.filed(link.rpartition("/")[2], 31 * 86_400.0) is None
    assert envelope_of(claimed(attachment_ids=(7,)), MAIL, SIGNER, "Relief desk").attachments[0].link == ""


def test_styles_are_written_into_the_elements():
    html = envelope_of(claimed(html="<style>p{color:red}</style><p>x</p>"), MAIL, SIGNER, "Relief desk").html
    assert 'style="color: red;"' in html
