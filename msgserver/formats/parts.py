"""The parts of a MIME body (RFC 2046), cut out in one pass over the bytes: linear, and it never recurses.

All open boundaries are looked for at once, so a mail with fifty multiparts inside each other costs what a flat one
costs; a delimiter of an outer multipart ends the inner ones that were left open.
"""

from __future__ import annotations

import binascii
import re
from functools import lru_cache
from itertools import islice

from msgserver.formats.headers import Fields, parameters, split_head, unbase64
from msgserver.formats.reading import ReadingLimits

# Lines that begin like a delimiter and are none cost time: a mail has no honest use for more of them than this.
_TYPE = re.compile(r"[a-z0-9!#$&^_.+*'|~-]{1,80}/[a-z0-9!#$&^_.+*'|~-]{1,80}")
_DASHED = re.compile(rb"^--([!-~]{4,70}?)(?:--)?[ \t]*\r?$", re.MULTILINE)
_MOST_LOOKALIKES = 200_000


class Piece:
    """One node of the tree: a leaf with a body, or a multipart with children."""

    __slots__ = ("body", "children", "depth", "disposition", "fields", "names", "raw", "type", "where")

    def __init__(self, raw: bytes, fields: Fields, start: int, end: int, default: str, depth: int) -> None:
        self.raw = raw
        self.fields = fields
        self.where = (start, end)
        self.depth = depth
        self.children: list[Piece] = []
        self.type, self.names = content_type(fields, default)
        self.disposition = parameters(fields["content-disposition"][0]) if "content-disposition" in fields else ("", {})

    def first(self, name: str) -> str:
        """The first value of a field, or ""."""
        values = self.fields.get(name)
        return values[0] if values else ""

    def encoded(self) -> bytes:
        """The body as it stands in the mail."""
        start, end = self.where
        return self.raw[start:end]

    def content(self) -> tuple[bytes, str]:
        """The body with its transfer encoding undone, and what was wrong with it ("" where nothing)."""
        raw, encoding = self.encoded(), self.first("content-transfer-encoding")
        if self.type.startswith("text/") and "base64" in encoding.lower() and _prose(raw):
            return raw, "the text was said to be base64 and is not"
        return untransfer(raw, encoding)


def _prose(raw: bytes) -> bool:
    """Whether a body that is said to be base64 has words with blanks between them, as base64 never has."""
    sample = raw[:2_000]
    return sample.count(b" ") > len(sample) // 20 and b" " in sample.strip()


def content_type(fields: Fields, default: str) -> tuple[str, dict[str, str]]:
    """The media type and its parameters; what is no type at all counts as the default (RFC 2045 section 5.2)."""
    values = fields.get("content-type")
    if not values:
        return default, {}
    kind, names = _usual_type(values[0]) if len(values[0]) < 60 else parameters(values[0])
    kind = kind.partition(" ")[0] if " " in kind else kind
    if kind == "text":
        kind = "text/plain"
    return (kind, names) if _TYPE.fullmatch(kind) else (default, names)


_usual_type = lru_cache(maxsize=512)(parameters)


def cut(raw: bytes, limits: ReadingLimits) -> tuple[Piece, list[str], bool]:
    """Cut a mail into its tree.

    Returns:
        the root, what was wrong in words, and whether everything was cut (False: a limit was met).
    """
    fields, body, trouble = split_head(raw, 0, len(raw), limits.header_bytes)
    root = Piece(raw, fields, body, len(raw), "text/plain", 0)
    troubles = [trouble] if trouble else []
    if not root.type.startswith("multipart/"):
        return root, troubles, True
    complete = _cut_body(root, limits, troubles) if root.names.get("boundary") else True
    if not root.children and (guess := _guess_boundary(raw, *root.where)):
        root.names = {**root.names, "boundary": guess}
        troubles.append("the boundary between the parts was guessed")
        complete = _cut_body(root, limits, troubles)
    return root, troubles, complete


def _guess_boundary(raw: bytes, at: int, end: int) -> str:
    """The boundary of a multipart that names none, or another one: a line of dashes and words that comes again."""
    for found in islice(_DASHED.finditer(raw, at, min(end, at + 100_000)), 20):
        if raw.find(b"\n--" + found.group(1), found.end(), end) >= 0:
            return found.group(1).decode("ascii")
    return ""


def _cut_body(root: Piece, limits: ReadingLimits, troubles: list[str]) -> bool:
    """Fill in the children of a multipart root; False where a limit stopped it."""
    raw, (at, end) = root.raw, root.where
    open_ = [root]
    keys = [_key(root)]
    complete = True
    leaf: Piece | None = None
    count = 0
    patience = _MOST_LOOKALIKES
    while True:
        edge, level, closing, at, patience = _delimiter(raw, at, end, keys, patience)
        if level < 0:
            troubles.append("the last boundary is missing" if patience > 0 else "too many lines look like boundaries")
            return complete and patience > 0
        for inner in [*open_[level + 1 :], *([leaf] if leaf else [])]:
            inner.where = (inner.where[0], max(inner.where[0], edge))
        leaf = None
        del open_[level + (not closing) :], keys[level + (not closing) :]
        if not open_:
            return complete
        if closing:
            continue
        count += 1
        if count > limits.parts:
            troubles.append(f"more than {limits.parts} parts: the rest was not read")
            return False
        child, at, trouble = _child(open_[level], raw, at, end, limits)
        if child.type.startswith("multipart/") and child.names.get("boundary") and child.depth < limits.depth:
            open_.append(child)
            keys.append(_key(child))
        else:
            leaf = child
            if child.type.startswith("multipart/"):
                complete = False
                trouble = trouble or f"multiparts nested deeper than {limits.depth}, or without a boundary: not opened"
        if trouble and trouble not in troubles and len(troubles) < 20:
            troubles.append(trouble)


def _delimiter(raw: bytes, at: int, end: int, keys: list[bytes], patience: int) -> tuple[int, int, bool, int, int]:
    """Find the next line that delimits one of the open multiparts.

    Returns:
        where the part before it ends, the level it belongs to (-1: there is none), whether it closes that level, where
        the next line begins, and how much patience with lines that only look like it is left.
    """
    starts = tuple(keys)
    while patience > 0 and (at := _next_dashes(raw, at, end)) >= 0:
        if not raw.startswith(starts, at + 2):
            patience -= 1
            at += 2
            continue
        stop = raw.find(b"\n", at, end)
        level, closing = _level(raw[at + 2 : min(stop if stop >= 0 else end, at + 300)].rstrip(), keys)
        after = stop + 1 if stop >= 0 else end
        if level >= 0:
            return _before(raw, at), level, closing, after, patience
        patience -= 10
        at = after
    return end, -1, False, end, patience


def _key(piece: Piece) -> bytes:
    """What follows the two dashes of a multipart's delimiter."""
    return piece.names["boundary"].encode("utf-8", "surrogateescape").rstrip()[:296]


def _next_dashes(raw: bytes, at: int, end: int) -> int:
    """The index of the next line that begins with two dashes, or -1."""
    if at == 0 and raw.startswith(b"--"):
        return 0
    return raw.find(b"\n--", max(0, at - 1), end) + 1 or -1


def _level(words: bytes, keys: list[bytes]) -> tuple[int, bool]:
    """Which open multipart a delimiter's words belong to, innermost first (-1: to none), and whether they close it."""
    for level in range(len(keys) - 1, -1, -1):
        if words.startswith(keys[level]):
            rest = words[len(keys[level]) :].strip()
            if not rest or rest == b"--":
                return level, bool(rest)
    return -1, False


def _child(parent: Piece, raw: bytes, at: int, end: int, limits: ReadingLimits) -> tuple[Piece, int, str]:
    """Read the header of the part that begins at an index; gives the part, where its body begins, what was wrong."""
    default = "message/rfc822" if parent.type == "multipart/digest" else "text/plain"
    # A header cannot reach over a line of dashes, so it is looked for no further: all parts together stay linear.
    most = raw.find(b"\n--", at - 1, end) + 1 or end
    fields, body, trouble = split_head(raw, at, most, limits.header_bytes)
    child = Piece(raw, fields, body, end, default, parent.depth + 1)
    parent.children.append(child)
    return child, body, trouble


def _before(raw: bytes, index: int) -> int:
    """The end of what stands before a delimiter: its line break belongs to the delimiter (RFC 2046 section 5.1.1)."""
    if index >= 2 and raw[index - 2 : index] == b"\r\n":
        return index - 2
    return index - 1 if index >= 1 else index


# -- transfer encodings: RFC 2045 section 6

_MOST_UU_LINES = 600_000  # 27 MB
_UU_BEGIN = re.compile(rb"^begin [0-7]{3,4} .*$", re.MULTILINE)


def untransfer(raw: bytes, encoding: str) -> tuple[bytes, str]:
    """Undo a transfer encoding; never raises. An unknown one leaves the bytes as they are, and says so."""
    if not encoding:
        return raw, ""
    how = encoding.strip().lower()
    if how in ("7bit", "8bit", "binary"):
        return raw, ""
    if how == "base64":
        return unbase64(raw), ""
    if how == "quoted-printable":
        return binascii.a2b_qp(raw), ""
    if how in ("x-uuencode", "uuencode", "uue", "x-uue"):
        return _uudecode(raw)
    how = how.partition(";")[0].strip().strip("\"'")
    if how in ("base64", "quoted-printable"):
        return untransfer(raw, how)
    return raw, "" if how in ("7bit", "8bit", "binary") else f"unknown transfer encoding {encoding.strip()[:40]!r}"


def _uudecode(raw: bytes) -> tuple[bytes, str]:
    begin = _UU_BEGIN.search(raw)
    if not begin:
        return raw, "uuencoded without a beginning"
    out: list[bytes] = []
    for line in raw[begin.end() :].split(b"\n", _MOST_UU_LINES)[1:-1]:
        line = line.rstrip(b"\r")
        if line.strip() == b"end":
            break
        try:
            out.append(binascii.a2b_uu(line))
        except binascii.Error:
            length = (((line[0] - 32) & 63) * 4 + 5) // 3 if line else 0
            try:
                out.append(binascii.a2b_uu(line[:length]))
            except binascii.Error:
                return b"".join(out), "uuencoded part is damaged"
    return b"".join(out), ""
