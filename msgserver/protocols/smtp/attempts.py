"""Who may try to log in: wrong passwords are counted over all sessions, by account and by place."""

from __future__ import annotations

from collections import OrderedDict, deque

# Within so many seconds, wrong tries at one account from one place, and from one place at all.
LIMITS = ((60.0, 5, 10), (3600.0, 30, 60))
_LONGEST = max(seconds for seconds, _, _ in LIMITS)
_MOST_KEPT = max(place for _, _, place in LIMITS)
_MOST = 10_000  # accounts and places remembered


class Attempts:
    """The wrong tries of the last hour, in this process. A place is an address, or a /64."""

    def __init__(self) -> None:
        self._wrong: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def may_try(self, account: str, place: str, now: float) -> bool:
        """Whether another try is looked at; else the right password would be told "later" too."""
        here, there = self._since(account.casefold(), place), self._since("", place)
        return not any(
            sum(at > now - seconds for at in here) >= most_here or sum(at > now - seconds for at in there) >= most_there
            for seconds, most_here, most_there in LIMITS
        )

    def failed(self, account: str, place: str, now: float) -> None:
        """Count a wrong try."""
        for key in ((account.casefold()[:100], place), ("", place)):
            kept = self._wrong.setdefault(key, deque(maxlen=_MOST_KEPT))
            self._wrong.move_to_end(key)
            kept.append(now)
        while len(self._wrong) > _MOST:
            self._wrong.popitem(last=False)

    def succeeded(self, account: str, place: str) -> None:
        """The account's own tries from there are forgiven; those at other accounts are not."""
        self._wrong.pop((account.casefold()[:100], place), None)

    def _since(self, account: str, place: str) -> deque[float] | tuple[()]:
        return self._wrong.get((account[:100], place), ())
