"""The copies of a large audience, slice by slice, so that no other writer waits for more than one of them.

When a message is recorded, ``store.fanout`` leaves a job instead of copies where more people are to hear of it than
one transaction should write. Whoever takes the job looks up the *ways* (subscriptions and groups, with the borders of
slices) in a reader, then writes slice after slice. Every slice may be written again: what is there stays. So a job
that was cut short is simply begun anew, and nothing of its progress need be remembered.
"""

# ruff: noqa: S608 -- SQL is put together of constants in the code only; every value is a parameter

from __future__ import annotations

import itertools

import msgspec
from sqlalchemy import Connection, text, update

from msgserver.store import bulk, fanout
from msgserver.store.schema import job

LEASE = 60.0  # seconds after which a job that nobody finishes is taken by somebody else
SLICE = 1_000  # rows of one write


class Work(msgspec.Struct, frozen=True):
    """One message and who is to hear of it."""

    job_id: int
    message_id: int
    keys: tuple[tuple[str, str, int | None], ...]
    rank: int
    at: float


class Way(msgspec.Struct, frozen=True, array_like=True):
    """Through which subscription (or forward) copies go to an entity, or to its members from one id to another."""

    entity_id: int
    channel: str
    subscription_id: int | None
    barred: int
    digest: str
    asked: int
    why: str
    after: int | None = None  # None: the entity itself
    upto: int | None = None


class Audience(msgspec.Struct, frozen=True):
    """All of a message's slices, each of some ways; ``people``: how many there are behind them."""

    slices: tuple[tuple[Way, ...], ...]
    people: int


def take(tx: Connection, node: str, now: float) -> Work | None:
    """Take the oldest job that waits (or that somebody took and did not finish); None: there is none."""
    lock = "" if bulk.is_sqlite(tx) else " FOR UPDATE SKIP LOCKED"
    query = f"""SELECT id, work FROM job WHERE kind = :kind AND state = 'waiting' AND (run_at <= :now OR words = :node)
                ORDER BY id LIMIT 1{lock}"""
    row = tx.execute(text(query), {"kind": fanout.COPIES_JOB, "now": now, "node": node}).one_or_none()
    if row is None:
        return None
    tx.execute(update(job).where(job.c.id == row.id).values(run_at=now + LEASE, words=node))
    message_id, keys, rank, at = msgspec.json.decode(row.work)
    return Work(row.id, message_id, tuple((resource, record, one) for resource, record, one in keys), rank, at)


def waiting(tx: Connection) -> bool:
    """Whether any job waits."""
    query = "SELECT 1 FROM job WHERE kind = :kind AND state = 'waiting' LIMIT 1"
    return tx.execute(text(query), {"kind": fanout.COPIES_JOB}).first() is not None


_WAYS = bulk.Statement(
    f"""
    WITH RECURSIVE k AS MATERIALIZED ({{keys}}),
    {fanout.INNER_GROUPS},
    e(k, entity_id, channel, subscription_id, barred, digest, asked, why) AS (
      SELECT * FROM ({fanout.WISHES}) AS wish
      UNION
      SELECT e.k, g.member_id, e.channel, e.subscription_id, e.barred, e.digest, e.asked, e.why
      FROM e JOIN inner_group g ON g.group_id = e.entity_id
    )
    SELECT e.entity_id AS entity_id, e.channel AS channel, e.subscription_id AS subscription_id, e.barred AS barred,
      e.digest AS digest, e.asked AS asked, e.why AS why, CASE WHEN p.kind = 'person' THEN 0 ELSE 1 END AS many
    FROM e JOIN pe_entity p ON p.id = e.entity_id
    ORDER BY e.barred, e.digest <> '', COALESCE(e.subscription_id, 0), e.entity_id
    """,
    out="entity_id channel subscription_id barred digest asked why many",
    keys=fanout.KEYS,
)

_BORDERS = """
    SELECT member_id FROM (SELECT member_id, row_number() OVER (ORDER BY member_id) AS n
      FROM pe_membership WHERE group_id = :number) AS numbered
    WHERE n % :size = 0 ORDER BY member_id
"""

_PEOPLE = bulk.Statement(
    """
    WITH r AS MATERIALIZED ({rows})
    SELECT count(*) AS n FROM (
      SELECT g.member_id AS id FROM r JOIN pe_membership g ON g.group_id = r.id AND r.many
      UNION SELECT id FROM r WHERE NOT r.many) AS everybody
    """,
    rows="id:int many:bool",
    out="n",
)

_LAST = 2**62  # above every id


def audience(tx: Connection, work: Work) -> Audience:
    """The slices of a job, out of a reader: nobody waits for that."""
    singles: list[Way] = []
    slices: list[tuple[Way, ...]] = []
    everybody: list[tuple[int, bool]] = []
    found = _WAYS.fetch(tx, keys=bulk.encode([(n, *key) for n, key in enumerate(work.keys)]))
    for *values, many in found:
        way = Way(*values)
        everybody.append((way.entity_id, bool(many)))
        singles.append(way)
        if not many and len(singles) < SLICE:
            continue
        slices.append(tuple(singles))
        singles = []
        if many:
            slices += [(one,) for one in _members(tx, way)]
    if singles:
        slices.append(tuple(singles))
    people = _PEOPLE.fetch(tx, list(dict.fromkeys(everybody)))[0][0] if everybody else 0
    return Audience(tuple(slices), people)


def _members(tx: Connection, way: Way) -> list[Way]:
    """A group's members in slices of about the same size."""
    borders = list(tx.execute(text(_BORDERS), {"number": way.entity_id, "size": SLICE}).scalars())
    places = [0, *borders, _LAST]
    return [msgspec.structs.replace(way, after=after, upto=upto) for after, upto in itertools.pairwise(places)]


_SLICE = bulk.Statement(
    f"""
    WITH way AS MATERIALIZED ({{rows}}),
    lane AS MATERIALIZED ({{lanes}}),
    e AS MATERIALIZED (
      SELECT 0 AS k, w.entity_id AS entity_id, w.channel AS channel, w.subscription_id AS subscription_id,
        w.barred AS barred, w.digest AS digest, w.asked AS asked, w.why AS why FROM way w WHERE w.upto IS NULL
      UNION ALL
      SELECT 0, g.member_id, w.channel, w.subscription_id, w.barred, w.digest, w.asked, w.why
      FROM way w JOIN pe_membership g ON g.group_id = w.entity_id AND g.member_id > w.after AND g.member_id <= w.upto
    ),
    {fanout.REACH},
    r AS MATERIALIZED (SELECT CAST(:message_id AS bigint) AS id, 0 AS k, CAST(:rank AS integer) AS rank,
      CAST(:at AS double precision) AS at)
    {fanout.WRITE}
    """,
    rows="entity_id:int channel:text subscription_id:int barred:int digest:text asked:int why:text after:int upto:int",
    lanes=fanout.LANES,
)


def write_slice(tx: Connection, work: Work, ways: tuple[Way, ...], held: bool, lanes: dict[str, str]) -> None:
    """Write the copies of one slice; ``held``: for a person's word."""
    _SLICE.run(
        tx,
        [msgspec.structs.astuple(way) for way in ways],
        lanes=bulk.encode(list(lanes.items())),
        message_id=work.message_id,
        rank=work.rank,
        at=work.at,
        open="held" if held else "pending",
    )


def finish(tx: Connection, work: Work, now: float) -> None:
    """All of it is written."""
    tx.execute(update(job).where(job.c.id == work.job_id).values(state="done", finished_at=now))
