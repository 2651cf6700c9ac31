"""Where new words end and old mail begins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgserver.formats.quoting import quoted_from

FOLDED = {
    "marked": "Yes.\n\n|> Is it open?\n> Really?\n",
    "with who and when": "Yes.\n\n|On Mon, 3 Nov 2025 at 10:00, Ana <ana@x.org> wrote:\n> Is it open?\n",
    "on two lines": "Yes.\n\n|On Mon, 3 Nov 2025 at 10:00, Ana Maria Long Name\n<ana@x.org> wrote:\n\n> Is it open?",
    "only who": "Yes.\n\n|Ana wrote:\n> Is it open?",
    "German": "Ja.\n\n|Am 03.11.25 um 10:00 schrieb Ana:\n> Offen?\n",
    "French": "Oui.\n\n|Le lun. 3 nov. 2025 à 10:00, Ana <ana@x.org> a écrit :\n\n> Ouvert ?\n",
    "Spanish": "Sí.\n\n|El lun, 3 nov 2025 a las 10:00, Ana (<ana@x.org>) escribió:\n\n> ¿Abierto?\n",
    "Russian": "Да.\n\n|пн, 3 нояб. 2025 г. в 10:00, Ana <ana@x.org> написал:\n\n> Открыто?\n",
    "not marked below": "Yes.\n\n|On Mon, 3 Nov 2025 at 10:00, Ana <ana@x.org> wrote:\n\nIs it open?\nReally?",
    "Outlook": "Yes.\n\n|From: Ana\nSent: Monday, 3 November 2025\nTo: Bo\nSubject: Road\n\nIs it open?",
    "Outlook with a rule": "Yes.\n\n|________________________________\nFrom: Ana\nSent: Monday\n\nIs it open?",
    "an old header in another order": "Yes.\n\n|----------\nDate: Monday\nSubject: Road\nFrom: Ana\n\nIs it open?",
    "no verb": "Да.\n\n|Thu, 26 Jun 2014 14:00:51 +0400 от Ana <ana@x.org>:\n\n> Открыто?",
    "original message": "Yes.\n\n|-----Original Message-----\nFrom: Ana\n\nIs it open?",
    "signature": "Yes.\n|-- \nBo\n+1 555",
    "signature, then history": "Yes.\n|-- \nBo\n\nOn 3 Nov 2025 10:00, Ana wrote:\n> open?",
    "a signature below": "Yes.\n|> open?\n\n-- \nBo\n",
}
WHOLE = {
    "nothing quoted": "Yes.\nIt is open.",
    "between the lines": "> Is it open?\nYes.\n> And safe?\nNo.",
    "all quoted": "> Is it open?\n> Really?",
    "From in prose": "From: here to there\nit is far.",
    "wrote in prose": "In his book he wrote:\nnothing.",
    "one line": "On Monday at 10:00 Ana wrote: yes",
    "empty": "",
}


@pytest.mark.parametrize("name", FOLDED)
def test_folded(name):
    new, _, old = FOLDED[name].partition("|")
    assert quoted_from(new + old) == len(new)


@pytest.mark.parametrize("name", WHOLE)
def test_not_folded(name):
    assert quoted_from(WHOLE[name]) is None


@given(st.lists(st.sampled_from(["> a", "b", "", "-- ", "On 10:00 <a@b> wrote:", "From: x", "Date: y", "___________"])))
def test_new_words_always_remain(lines):
    text = "\n".join(lines)
    at = quoted_from(text)
    assert at is None or (text[:at].strip() and 0 < at < len(text))
