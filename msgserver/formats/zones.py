"""Where somebody lives, as hours: the end of quiet hours, and the last full hour or morning. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

MORNING = 8 * 60  # minutes after midnight: when the daily digest is made


@lru_cache(maxsize=600)
def zone(name: str) -> ZoneInfo:
    """A time zone by its IANA name; UTC where it is empty or unknown."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def quiet_until(now: float, quiet_from: int, until: int, timezone: str) -> float | None:
    """When the quiet hours end that ``now`` lies in; None: it lies in none.

    Args:
        now: POSIX seconds.
        quiet_from: minutes after midnight, as is ``until``; where later than ``until`` they span midnight. Where both
            are the same there are none.
        until: see ``quiet_from``.
        timezone: IANA name; UTC where empty or unknown.
    """
    local = datetime.fromtimestamp(now, zone(timezone))
    minute = local.hour * 60 + local.minute
    inside = quiet_from <= minute < until if quiet_from <= until else minute >= quiet_from or minute < until
    if not inside:
        return None
    end = local.replace(hour=until // 60 % 24, minute=until % 60, second=0, microsecond=0, fold=0)
    if end.timestamp() <= now:
        end = (end + timedelta(days=1)).replace(fold=0)
    return end.timestamp()


def last_edge(now: float, digest: str, timezone: str) -> float:
    """The last moment, not after ``now``, at which a digest was to be made there: a full hour, or eight in the morning.

    Args:
        now: POSIX seconds.
        digest: "hourly" or "daily".
        timezone: IANA name; UTC where empty or unknown.
    """
    local = datetime.fromtimestamp(now, zone(timezone))
    if digest == "hourly":
        return now - (local.minute * 60 + local.second + local.microsecond / 1e6)
    edge = local.replace(hour=MORNING // 60, minute=MORNING % 60, second=0, microsecond=0, fold=0)
    if edge.timestamp() > now:
        edge -= timedelta(days=1)
    return edge.timestamp()
