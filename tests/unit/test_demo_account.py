"""The account of the demonstration: it must notice whatever does not add up."""

from __future__ import annotations

from typing import Any

import pytest

from demo.account import Figures, figures, findings, verdict

BALANCED = Figures(
    fed=1000,
    received=930,
    distinct=905,  # five records were dropped after the broker had taken them
    strangers=0,
    read=1000,
    delivered=900,
    dropped=100,
    pending=0,
    elsewhere=0,
    losses=100,
    possible_twins=550,
    verified=True,
)


def code(of: Figures) -> int:
    return verdict(list(findings(of)))


def test_figures_that_balance_end_with_0() -> None:
    assert (BALANCED.twins, BALANCED.never_arrived) == (25, 95)
    assert code(BALANCED) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"fed": 1001},  # a record that nobody read
        {"fed": 999},  # one that was counted twice
        {"read": 1001, "fed": 1001},  # one that was read and is nowhere
        {"delivered": 899},
        {"dropped": 101, "losses": 101},
        {"pending": 1, "delivered": 899},  # the law holds, but it has not drained
        {"elsewhere": 1, "delivered": 899},
        {"verified": False},
        {"losses": 99},
        {"strangers": 1, "received": 931},  # something arrived that was never written so
        {"distinct": 899, "received": 930},  # acknowledged, and never arrived
        {"received": 905 + 551},  # more twins than were announced
    ],
    ids=str,
)
def test_figures_that_do_not_balance_end_with_1(wrong: dict[str, Any]) -> None:
    assert code(BALANCED._replace(**wrong)) == 1


def test_a_line_that_does_not_hold_names_the_figures() -> None:
    (wrong,) = (finding for finding in findings(BALANCED._replace(possible_twins=7)) if not finding.holds)

    assert wrong.text == "twins 25 <= possibleTwins 7: at least once"


def test_twins_and_strangers_are_told_apart() -> None:
    records = {
        "read": 3,
        "delivered": 2,
        "unconfirmed": 0,
        "handedOver": 0,
        "droppedTotal": 1,
        "quarantinedTotal": 0,
        "pending": 0,
    }
    status = {"records": records, "beside": {"possibleTwins": 5}, "verified": True}

    made = figures(
        fed=[b"1", b"2", b"3"],
        received=[b"1", b"3", b"1", b"1", b"one that was changed on its way"],
        status=status,
        losses=[{"records": 1}],
    )

    assert (made.distinct, made.twins, made.strangers, made.never_arrived) == (2, 2, 1, 1)
    assert [finding.holds for finding in findings(made)].count(False) == 1  # the stranger
