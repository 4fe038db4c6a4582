from __future__ import annotations

import pytest

from tests.nucleus.access import filter_matches, matches


@pytest.mark.parametrize(
    ("resource", "allowed", "refused"),
    [
        ("dt/#", ["dt/a", "dt/a/b", "dt/", "dt/#"], ["dt", "other"]),
        ("star/*", ["star/a", "star/a/b", "star/#"], ["star"]),
        ("plus/+/x", ["plus/a/x", "plus//x"], ["plus/a/b/x", "plus/#"]),
        ("mix/+/*", [], ["mix/a/b", "mix/+/*"]),
        ("plain.a", ["plain.a"], ["plainxa", "plain.a/b"]),
        ("*", ["a", "a/b"], []),
    ],
)
def test_a_resource_allows_what_lite_was_seen_to_allow(resource: str, allowed: list[str], refused: list[str]) -> None:
    assert [topic for topic in [*allowed, *refused] if matches(resource, topic)] == allowed


@pytest.mark.parametrize(
    ("subscription", "wanted", "unwanted"),
    [
        ("dt/#", ["dt", "dt/a", "dt/a/b"], ["dtx"]),
        ("#", ["a", "a/b"], []),
        ("a/+/c", ["a/b/c", "a//c"], ["a/b", "a/b/d/c"]),
        ("a*", ["a*"], ["ab"]),
    ],
)
def test_a_subscription_gets_what_mqtt_gives_it(subscription: str, wanted: list[str], unwanted: list[str]) -> None:
    assert [topic for topic in [*wanted, *unwanted] if filter_matches(subscription, topic)] == wanted
