"""format=flowed text put back into paragraphs (RFC 3676)."""

from __future__ import annotations


def unflow(text: str, delsp: bool) -> str:
    """Join the soft-broken lines of flowed text, quoted lines only with lines quoted as deeply.

    Args:
        delsp: the DelSp parameter: the space before a soft break is no part of the text.
    """
    out: list[str] = []
    held: list[str] = []
    depth = 0

    def release() -> None:
        if held:
            mark = ">" * depth
            out.append(f"{mark} {''.join(held)}" if mark else "".join(held))
            held.clear()

    for line in text.split("\n"):
        rest = line.lstrip(">")
        level = len(line) - len(rest)
        rest = rest.removeprefix(" ")  # space-stuffed, or the space after the quote marks
        if held and level != depth:
            release()
        depth = level
        if rest.endswith(" ") and rest != "-- ":
            held.append(rest[:-1] if delsp else rest)
            continue
        held.append(rest)
        release()
    release()
    return "\n".join(out)
