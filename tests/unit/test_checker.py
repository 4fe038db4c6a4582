"""The judge itself: it passes what is right and names every planted violation."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.checker import Evidence, Look, judge


def status(*, read: int, delivered: int, dropped: int, pending: int, twins: int, attempted: int = 0) -> dict[str, Any]:
    records = {
        "read": read,
        "delivered": delivered,
        "unconfirmed": 0,
        "handedOver": 0,
        "pending": pending,
        "inFlight": 0,
        "dropped": {"queueFullFront": dropped, "queueFullBack": 0, "expired": 0},
        "quarantined": {"malformed": 1},
        "balanced": True,
    }
    return {
        "epoch": "e1",
        "records": records,
        "beside": {"possibleTwins": twins, "droppedAfterAttempt": attempted},
        "messages": {"published": delivered, "acknowledged": delivered},
        "streams": {"telemetry": {"records": copy.deepcopy(records)}},
    }


def clean() -> Evidence:
    """Ten records: one set aside, two dropped of which one had arrived, one that arrived twice over one kill."""
    fed = [b'{"id":%d}' % number for number in range(10)]
    received = [*fed[:5], fed[4], *fed[5:8]]
    looks = [
        Look(status(read=4, delivered=2, dropped=0, pending=1, twins=0), arrived=3, kills=0),
        Look(status(read=8, delivered=5, dropped=1, pending=1, twins=0), arrived=5, kills=1),
        Look(status(read=10, delivered=7, dropped=2, pending=0, twins=3, attempted=1), arrived=9, kills=1),
    ]
    return Evidence(fed, received, looks, bound=3)


def names(evidence: Evidence) -> set[str]:
    return {violation.name for violation in judge(evidence)}


def test_a_life_in_which_every_promise_was_kept_passes() -> None:
    assert judge(clean()) == []


def test_a_life_that_goes_on_is_not_asked_for_what_is_still_to_come() -> None:
    evidence = clean()
    evidence.looks.pop()
    evidence.received = evidence.received[:5]
    evidence.settled = False
    assert judge(evidence) == []


def test_what_a_kill_took_out_of_a_pipe_may_be_missing_and_nothing_else() -> None:
    evidence = clean()
    evidence.fed = [*evidence.fed, b"in the pipe, and nowhere else"]
    evidence.lost_unread = 1
    assert judge(evidence) == []
    evidence.lost_unread = 0
    assert names(evidence) == {"not read once"}


def change(path: str, by: int, look: int = -1) -> Callable[[Evidence], None]:
    def plant(evidence: Evidence) -> None:
        *groups, name = path.split(".")
        values = evidence.looks[look].status
        for group in groups:
            values = values[group]
        values[name] += by  # type: ignore[index]  # a status is read-only to the judge, not to this test

    return plant


def in_all_and_in_its_stream(path: str, by: int) -> Callable[[Evidence], None]:
    def plant(evidence: Evidence) -> None:
        change(f"records.{path}", by)(evidence)
        change(f"streams.telemetry.records.{path}", by)(evidence)

    return plant


def swap_a_byte(evidence: Evidence) -> None:
    evidence.received = [b'{"id":O}', *evidence.received[1:]]


def repeat(times: int) -> Callable[[Evidence], None]:
    def plant(evidence: Evidence) -> None:
        evidence.received = [*evidence.received, *[evidence.fed[0]] * times]

    return plant


def repeat_early(evidence: Evidence) -> None:
    evidence.received = [evidence.fed[0], *evidence.received]


def begin_anew(evidence: Evidence) -> None:
    evidence.looks[-1] = evidence.looks[-1]._replace(status={**evidence.looks[-1].status, "epoch": "e2"})


def feed_twice(evidence: Evidence) -> None:
    evidence.fed = [*evidence.fed[:-1], evidence.fed[0]]


def count_one_read_twice(evidence: Evidence) -> None:
    in_all_and_in_its_stream("read", 1)(evidence)
    in_all_and_in_its_stream("dropped.queueFullFront", 1)(evidence)


def leave_one_pending(evidence: Evidence) -> None:
    in_all_and_in_its_stream("pending", 1)(evidence)
    in_all_and_in_its_stream("dropped.queueFullFront", -1)(evidence)


def lose_three(evidence: Evidence) -> None:
    evidence.received = [payload for payload in evidence.received if payload not in evidence.fed[:3]]


PLANTED: list[tuple[Callable[[Evidence], None], str]] = [
    (change("records.read", 1), "law broken"),
    (change("streams.telemetry.records.pending", 1), "law broken"),
    (change("records.quarantined.malformed", 1, look=0), "law broken"),
    (change("records.delivered", -3), "counter fell"),
    (change("messages.published", -3), "counter fell"),
    (change("beside.possibleTwins", 9, look=0), "counter fell"),
    (change("streams.telemetry.records.dropped.queueFullFront", -2), "counter fell"),
    (begin_anew, "epoch changed"),
    (swap_a_byte, "payload changed"),
    (feed_twice, "evidence unusable"),
    (lose_three, "record missing"),
    (lose_three, "delivered but missing"),
    (count_one_read_twice, "not read once"),
    (leave_one_pending, "not settled"),
    (repeat_early, "twins beyond possibleTwins"),
    (repeat(3), "twins beyond the bound"),
    (change("beside.droppedAfterAttempt", -1), "arrived but dropped"),
]


@pytest.mark.parametrize(
    ("plant", "name"), PLANTED, ids=[f"{number}-{name}" for number, (_, name) in enumerate(PLANTED)]
)
def test_a_planted_violation_is_named(plant: Callable[[Evidence], None], name: str) -> None:
    evidence = clean()
    plant(evidence)
    assert name in names(evidence)
