"""The account at the end: what was fed, what arrived, what the forwarder says, and whether that fits together.

Two sides that know nothing of each other are compared: the feeder and the subscriber on the one, the forwarder's own
counters on the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple


class Figures(NamedTuple):
    """Everything that the account is made of, in records."""

    fed: int
    received: int  # twins included
    distinct: int  # of those that were fed
    strangers: int  # received, but never fed: not byte for byte what was written
    read: int
    delivered: int
    dropped: int
    pending: int
    elsewhere: int  # unconfirmed, handed over, quarantined: nothing here has a reason to be
    losses: int  # the sum of what `weir losses` lists
    possible_twins: int
    verified: bool  # `weir status --verify` found every row in order

    @property
    def twins(self) -> int:
        return self.received - self.strangers - self.distinct

    @property
    def never_arrived(self) -> int:
        return self.fed - self.distinct


class Finding(NamedTuple):
    """One line of the account, and whether it holds."""

    holds: bool
    text: str


def figures(
    *, fed: Sequence[bytes], received: Sequence[bytes], status: dict[str, Any], losses: list[dict[str, Any]]
) -> Figures:
    """Put the two sides together: payloads as they were written and as they arrived, and what Weir answered."""
    records, known = status["records"], set(fed)
    others = records["unconfirmed"] + records["handedOver"] + records["quarantinedTotal"]
    return Figures(
        fed=len(fed),
        received=len(received),
        distinct=len(known.intersection(received)),
        strangers=sum(payload not in known for payload in received),
        read=records["read"],
        delivered=records["delivered"],
        dropped=records["droppedTotal"],
        pending=records["pending"],
        elsewhere=others,
        losses=sum(entry["records"] for entry in losses),
        possible_twins=status["beside"]["possibleTwins"],
        verified=status["verified"],
    )


def findings(of: Figures) -> Iterator[Finding]:
    """Give every line of the account."""
    yield Finding(of.fed == of.read, f"fed {of.fed:,} = read {of.read:,}: each record was read, and counted once")
    yield Finding(
        of.read == of.delivered + of.dropped + of.pending + of.elsewhere,
        f"read {of.read:,} = delivered {of.delivered:,} + dropped {of.dropped:,} + pending {of.pending:,}"
        + (f" + elsewhere {of.elsewhere:,}" if of.elsewhere else ""),
    )
    yield Finding(of.verified, "`weir status --verify` has checked that against every row of the store")
    yield Finding(of.pending == of.elsewhere == 0, f"pending {of.pending:,}: everything is drained")
    yield Finding(of.losses == of.dropped, f"`weir losses` names {of.losses:,} of {of.dropped:,} dropped records")
    yield Finding(
        of.strangers == 0, f"received {of.received:,}, and {of.strangers:,} of them not byte for byte what was fed"
    )
    yield Finding(
        of.delivered <= of.distinct,
        f"delivered {of.delivered:,} <= distinct received {of.distinct:,}: what was acknowledged has arrived",
    )
    yield Finding(
        of.never_arrived <= of.dropped,
        f"fed {of.fed:,} = distinct received {of.distinct:,} + never arrived {of.never_arrived:,}, "
        f"and never arrived {of.never_arrived:,} <= dropped {of.dropped:,}",
    )
    yield Finding(
        of.twins <= of.possible_twins, f"twins {of.twins:,} <= possibleTwins {of.possible_twins:,}: at least once"
    )


def verdict(account: Sequence[Finding]) -> int:
    """Give the exit code: 0 if every line holds."""
    return 0 if all(finding.holds for finding in account) else 1
