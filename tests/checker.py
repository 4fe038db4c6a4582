"""An independent judge: from what went in, what came out and what was counted, to a verdict.

It shares no code with the product and knows none of its tables: records are bytes, counters are the numbers of a status
document. The law, the meaning of the counters and the bounds on twins are written down here once more, in other words.

Every record fed must be unlike every other, so that a payload names its record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Status = Mapping[str, Any]

ENDS = ("delivered", "unconfirmed", "handedOver")
GAUGES = frozenset({"pending", "inFlight"})


class Violation(NamedTuple):
    """One promise that was not kept."""

    name: str
    detail: str


class Verdict(NamedTuple):
    """What a life came to, in the figures of the table of faults."""

    records: int  # fed
    lost: int  # never arrived, and nobody says that they are gone
    unaccounted: int  # read and in no counter, or never read
    twins: int
    bound: int  # the most twins that the faults of this life may have made
    violations: list[Violation]


class Look(NamedTuple):
    """One look at the counters of a forwarder.

    `arrived` is how many payloads had arrived when it was taken, or before; `kills` how many unclean stops there had
    been by then.
    """

    status: Status
    arrived: int
    kills: int


@dataclass
class Evidence:
    """What is known of a forwarder's life. `settled` says that nothing is left to be read or sent."""

    fed: Sequence[bytes]
    received: Sequence[bytes]
    looks: list[Look] = field(default_factory=list)
    settled: bool = True
    lost_unread: int = 0  # taken out of a pipe by a process that was killed before it could commit them
    bound: int = 0  # the most records that one unclean stop may make arrive twice
    interrupted: int = 0  # the most records that can have been in flight whenever the link was lost
    maybe: Sequence[bytes] = ()  # records that may or may not have been read: their source lost them, or a part of them
    reread: bool = False  # sources lost their ends: what is read once more is counted as read, and as possible twins
    may_lose_state: bool = False  # the state was damaged: it may begin anew, if it says so


def verdict(evidence: Evidence) -> Verdict:
    """Judge, and say it in figures."""
    status = evidence.looks[-1].status if evidence.looks else None
    bound = _bound(evidence)
    found = twins(evidence.received)
    broken = judge(evidence)
    if status is None:
        return Verdict(len(evidence.fed), 0, 0, found, bound, broken)
    unaccounted = max(
        abs(look.status["records"]["read"] - accounted(look.status["records"])) for look in evidence.looks
    )
    if not _begun_anew(evidence):
        unaccounted += len(_unread(evidence))
    lost = 0
    if evidence.settled:
        missing = len(set(evidence.fed) - set(evidence.received))
        lost = max(0, missing - _gone(evidence) - evidence.lost_unread)
    return Verdict(len(evidence.fed), lost, unaccounted, found, bound, broken)


def judge(evidence: Evidence) -> list[Violation]:
    """List every promise that was broken; nothing if all were kept."""
    return [
        *_laws(evidence),
        *_falls(evidence),
        *_strangers(evidence),
        *_twins(evidence),
        *(_settlement(evidence) if evidence.settled else ()),
    ]


# -- counters ---------------------------------------------------------------------------------------------------------


def accounted(records: Status) -> int:
    """Add up what became of the records."""
    ends = sum(records[name] for name in ENDS)
    return int(ends + sum(records["dropped"].values()) + sum(records["quarantined"].values()) + records["pending"])


def _laws(evidence: Evidence) -> Iterator[Violation]:
    for number, look in enumerate(evidence.looks):
        if look.status.get("verified") is False:
            yield Violation("rows and counters disagree", f"look {number}: {look.status.get('broken')}")
        sets = {"in all": look.status["records"]}
        sets.update({name: stream["records"] for name, stream in look.status["streams"].items()})
        for name, records in sets.items():
            if records["read"] != accounted(records):
                yield Violation("law broken", f"look {number}, {name}: {records}")


def _falls(evidence: Evidence) -> Iterator[Violation]:
    for number, (before, after) in enumerate(zip(evidence.looks, evidence.looks[1:], strict=False), start=1):
        if before.status["epoch"] is None:
            continue
        if before.status["epoch"] != after.status["epoch"]:
            if evidence.may_lose_state and after.status["beside"]["stateLost"] > 0:
                continue
            yield Violation("epoch changed", f"look {number}: {before.status['epoch']}, then {after.status['epoch']}")
            continue
        later = dict(_counters(after.status))
        for name, value in _counters(before.status):
            if later.get(name, 0) < value:
                yield Violation("counter fell", f"look {number}: {name} was {value}, now {later.get(name, 0)}")


def _counters(status: Status) -> Iterator[tuple[str, int]]:
    for group in ("records", "beside", "messages"):
        yield from _numbers(group, status[group])
    for name, stream in status["streams"].items():
        yield from _numbers(f"streams.{name}", stream["records"])


def _numbers(path: str, values: Status) -> Iterator[tuple[str, int]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _numbers(f"{path}.{name}", value)
        elif not isinstance(value, bool) and name not in GAUGES:
            yield f"{path}.{name}", value


# -- records ----------------------------------------------------------------------------------------------------------


def _strangers(evidence: Evidence) -> Iterator[Violation]:
    fed = set(evidence.fed)
    if len(fed) != len(evidence.fed):
        yield Violation("evidence unusable", "two of the records that were fed are alike")
    fed.update(evidence.maybe)
    strange = [payload for payload in evidence.received if payload not in fed]
    if strange:
        yield Violation("payload changed", f"{len(strange)} payloads were never fed, the first: {strange[0][:200]!r}")


def twins(received: Iterable[bytes]) -> int:
    """Count the arrivals beyond the first of each record."""
    return sum(count - 1 for count in Counter(received).values())


def _again(evidence: Evidence) -> int:
    """Give how many records may have been read, and so counted, once more."""
    return int(evidence.looks[-1].status["beside"]["possibleTwins"]) if evidence.reread else 0


def _bound(evidence: Evidence) -> int:
    """Give the most twins that there may be."""
    kills = evidence.looks[-1].kills if evidence.looks else 0
    return max(kills * evidence.bound + evidence.interrupted, _again(evidence) if evidence.looks else 0)


def _begun_anew(evidence: Evidence) -> bool:
    """Tell whether the state was lost, as it may be: what was counted before is not known any more."""
    return evidence.may_lose_state and evidence.looks[0].status["epoch"] != evidence.looks[-1].status["epoch"]


def _unread(evidence: Evidence) -> range:
    """Give how many records were read too few, or too many."""
    read = evidence.looks[-1].status["records"]["read"] + evidence.lost_unread
    least = len(evidence.fed)
    most = least + len(evidence.maybe) + _again(evidence)
    if not evidence.settled or least <= read <= most:
        return range(0)
    return range(read, least) if read < least else range(most, read)


def _gone(evidence: Evidence) -> int:
    """Count the records that are said to be gone, in every epoch."""
    last = {look.status["epoch"]: look.status["records"] for look in evidence.looks}
    return sum(sum(records["dropped"].values()) + sum(records["quarantined"].values()) for records in last.values())


def _twins(evidence: Evidence) -> Iterator[Violation]:
    if not evidence.looks or _begun_anew(evidence):
        return
    for number, look in enumerate(evidence.looks):
        found = twins(evidence.received[: look.arrived])
        possible = look.status["beside"]["possibleTwins"]
        if found > possible:
            yield Violation(
                "twins beyond possibleTwins", f"look {number}: {found}, {possible} were said to be possible"
            )
    kills = evidence.looks[-1].kills
    found = twins(evidence.received)
    if found > _bound(evidence):
        detail = f"{found} after {kills} unclean stops of at most {evidence.bound} and {evidence.interrupted} in flight"
        yield Violation("twins beyond the bound", detail)


def _settlement(evidence: Evidence) -> Iterator[Violation]:
    """Check what must be true once nothing is left to do."""
    if not evidence.looks:
        return
    status = evidence.looks[-1].status
    records = status["records"]
    arrived = set(evidence.received)
    if records["pending"]:
        yield Violation("not settled", f"{records['pending']} records are pending")
    missing = len(set(evidence.fed) - arrived)
    gone = _gone(evidence)
    if missing > gone + evidence.lost_unread:
        detail = f"{missing} never arrived, {gone} are said to be gone, {evidence.lost_unread} were lost in the pipe"
        yield Violation("record missing", detail)
    if _begun_anew(evidence):
        return
    if _unread(evidence):
        lost = f"{evidence.lost_unread} lost in the pipe, {len(evidence.maybe)} lost by their source"
        yield Violation("not read once", f"{len(evidence.fed)} fed, {records['read']} read, {lost}")
    arrived &= {*evidence.fed, *evidence.maybe}
    ended = sum(records[name] for name in ENDS)
    if len(arrived) + _again(evidence) < ended:
        yield Violation("delivered but missing", f"{ended} were sent to their end, {len(arrived)} arrived")
    hidden = len(arrived) - ended - status["beside"]["droppedAfterAttempt"] - _again(evidence)
    if hidden > 0:
        yield Violation("arrived but dropped", f"{hidden} records arrived, and are said to have been dropped unsent")
