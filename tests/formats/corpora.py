"""Mail that nobody here wrote: out of the tests of other programs, fetched by ``make .stamps/corpora``."""

from __future__ import annotations

import email
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent / ".stamps" / "corpora"
SETS = {
    "CPython": "libpython3*/**/test_email/data/msg_*.txt",
    "enmime": "golang-github-jhillyerd-enmime-dev/**/enmime/testdata/mail/*.raw",
    "enmime, broken": "golang-github-jhillyerd-enmime-dev/**/enmime/testdata/low-quality/*.raw",
    "bounces (flufl)": "python3-flufl.bounce/**/bounce/tests/data/*.txt",
    "Mailman": "mailman3/**/*.eml",
    "SpamAssassin": "spamassassin/**/examples/sample-*.txt",
}


def corpus(name: str) -> dict[str, bytes]:
    """The mails of one set, by file name."""
    found = sorted(path for path in ROOT.glob(SETS[name]) if path.is_file())
    if not found:
        pytest.fail(f"the mails of {name} are missing: run make .stamps/corpora")
    return {path.name: path.read_bytes() for path in found}


def everything() -> dict[str, bytes]:
    """All mails of all sets."""
    return {f"{name}: {file}": raw for name in SETS for file, raw in corpus(name).items()}


def has_words(raw: bytes) -> bool:
    """Whether the standard library finds a text to be read in a mail."""
    for part in email.message_from_bytes(raw).walk():
        words = part.get_content_maintype() == "text" and part.get_content_disposition() != "attachment"
        if words and (part.get_payload(decode=True) or b"").strip():
            return True
    return False
