"""Which records share a message, and what it looks like: by an independent reader of each layout."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.spans import make_span
from weir.core import batching
from weir.core.batching import Filling, Slice, body, compressed, first, frames, gather
from weir.core.span import Span

LINES = st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")), min_size=1, max_size=20)
DOCUMENTS = st.lists(
    st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)).map(
        lambda value: json.dumps(value, indent=1).encode()
    ),
    min_size=1,
    max_size=20,
)


def spans_of(groups: list[list[bytes]]) -> list[Span]:
    return [make_span(records, offset=0, at=0.0) for records in groups]


def taken(slices: list[Slice]) -> list[bytes]:
    return [record for span, low, high in slices for record in span.payloads(low, high)]


def gathered(spans: list[Span], records: int, size: int, *, newest: bool = False) -> batching.Gathered:
    def runs(span: Span) -> list[tuple[int, int]]:
        return list(span.waiting_runs(newest=newest))

    return gather(spans, runs, most_records=records, most_bytes=size, framed=lambda _: True)


@given(groups=st.lists(LINES, min_size=1, max_size=4), most=st.integers(1, 60), size=st.integers(1, 400))
def test_as_many_are_taken_as_fit_and_always_the_first(groups: list[list[bytes]], most: int, size: int) -> None:
    everything = [record for group in groups for record in group]
    fitting = 1
    while fitting < min(most, len(everything)) and len(b"\n".join(everything[: fitting + 1])) <= size:
        fitting += 1
    slices, records, full = gathered(spans_of(groups), most, size)
    assert (taken(slices), records) == (everything[:fitting], fitting)
    assert full or fitting == len(everything)


@given(groups=st.lists(LINES, min_size=1, max_size=4), out=st.data())
def test_what_is_out_or_settled_is_passed_over(groups: list[list[bytes]], out: st.DataObject) -> None:
    spans = spans_of(groups)
    left: list[bytes] = []
    for span, group in zip(spans, groups, strict=True):
        for index, record in enumerate(group):
            if out.draw(st.booleans()):
                span.take_run(index, index + 1)
            else:
                left.append(record)
    slices, records, full = gathered([span for span in spans if span.waiting], 1_000, 10_000)
    assert (taken(slices), records, full) == (left, len(left), False)
    assert all(span.waits(low, high) for span, low, high in slices)


@given(groups=st.lists(LINES, min_size=1, max_size=4), most=st.integers(1, 60))
def test_from_the_new_end_the_newest_goes_first(groups: list[list[bytes]], most: int) -> None:
    everything = [record for group in reversed(groups) for record in reversed(group)]
    slices, _, _ = gathered(list(reversed(spans_of(groups))), most, 10_000, newest=True)
    assert taken(slices) == everything[:most]


def test_a_record_that_cannot_share_a_message_is_alone() -> None:
    lines, document, more = spans_of([[b"1", b"2"], [b"{\n}", b"[]"], [b"3"]])

    def go(*spans: Span) -> list[bytes]:
        gathered = gather(
            spans, Span.waiting_runs, most_records=9, most_bytes=99, framed=lambda span: span is not document
        )
        assert gathered.full
        return taken(gathered.slices)

    assert go(lines, document, more) == [b"1", b"2"]
    assert go(document, more) == [b"{\n}"]


@given(groups=st.lists(LINES, min_size=1, max_size=4))
def test_lines_are_the_records_byte_for_byte(groups: list[list[bytes]]) -> None:
    slices = [Slice(span, 0, len(span)) for span in spans_of(groups)]
    assert body(slices, "lines").split(b"\n") == [record for group in groups for record in group]


@given(groups=st.lists(DOCUMENTS, min_size=1, max_size=4))
def test_an_array_is_json_and_holds_the_bytes_of_the_records(groups: list[list[bytes]]) -> None:
    everything = [record for group in groups for record in group]
    message = body([Slice(span, 0, len(span)) for span in spans_of(groups)], "array")
    assert json.loads(message) == [json.loads(record) for record in everything]
    assert all(record in message for record in everything)


@given(groups=st.lists(LINES, min_size=1, max_size=4), count=st.integers(1, 90))
def test_the_first_few_are_the_first(groups: list[list[bytes]], count: int) -> None:
    slices = [Slice(span, 0, len(span)) for span in spans_of(groups)]
    assert taken(first(slices, count)) == taken(slices)[:count]


@given(st.binary(max_size=2_000), st.sampled_from([batching.FAST, batching.DENSE]))
def test_gzip_is_undone_by_any_other_and_the_same_each_time(payload: bytes, level: int) -> None:
    packed = compressed(payload, level)
    assert gzip.decompress(packed) == payload
    assert packed == compressed(payload, level)


@pytest.mark.parametrize(
    ("layout", "form", "enveloped", "fits"),
    [
        ("lines", "jsonl", False, True),
        ("lines", "lines", False, True),
        ("lines", "csv", False, True),
        ("lines", "json", False, False),  # a document may be written over several lines
        ("lines", "file", False, False),
        ("lines", "file", True, True),
        ("lines", "json", True, False),  # the envelope leaves it as it is
        ("array", "jsonl", False, True),
        ("array", "json", False, True),
        ("array", "csv", False, True),
        ("array", "lines", False, False),
        ("array", "file", False, False),
        ("array", "lines", True, True),
    ],
)
def test_a_layout_takes_what_can_be_taken_apart_again(layout: str, form: str, enveloped: bool, fits: bool) -> None:  # noqa: FBT001 - a table
    assert frames(layout, form, enveloped=enveloped) is fits


def test_the_estimate_comes_near_and_never_stays_too_large() -> None:
    filling = Filling(0.25)
    limit, ratio = 100_000, 0.14
    budgets = []
    for _ in range(40):
        budgets.append(filling.budget(limit))
        filling.learn(budgets[-1], int(budgets[-1] * ratio), limit)
    assert all(before <= after for before, after in pairwise(budgets))
    assert 0.93 * limit <= budgets[-1] * ratio <= limit
    filling.learn(budgets[-1], 2 * limit, limit)
    assert filling.budget(limit) <= budgets[-1] / 2
