"""The line against an independent model: which records a mode keeps, and in which order it gives them."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.spans import make_span
from weir.core.line import Cut, Gap, Line, Loaded
from weir.core.modes import MODES, End, Mode
from weir.core.positions import FilePosition
from weir.core.span import RECORD_OVERHEAD, Span


@dataclass
class Model:
    """The queue modes in ten lines: a list of records, the front at index 0."""

    mode: int
    max_records: int
    max_bytes: int
    queue: list[bytes] = field(default_factory=list)
    dropped: list[bytes] = field(default_factory=list)

    def arrive(self, record: bytes) -> None:
        while len(self.queue) >= self.max_records or self._size() + len(record) + 64 > self.max_bytes:
            self.dropped.append(self.queue.pop(0 if self.mode in (2, 3) else -1))
        self.queue.insert(0 if self.mode in (1, 2, 5) else len(self.queue), record)

    def _size(self) -> int:
        return sum(len(record) + 64 for record in self.queue)


class Shelf:
    """Stands in for the store: keeps spans that the line forgot and gives them back, as the real one would."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.spans: dict[int, Span] = {}
        self.seq = 0

    def put(self, records: list[bytes]) -> tuple[Span, list[Cut]]:
        self.seq += 1
        span = make_span(records, offset=0, at=0.0)
        span.seq, span.stored = self.seq, True
        cuts = self.line.admit(span)
        while self.line.arriving:
            assert self.line.mode.cut is not None
            self.feed(self.line.mode.cut)
            cuts += self.line.make_room()
        return span, cuts

    def commit(self) -> None:
        for span in self.line.resident():
            self.spans[span.seq] = span
        self.line.forget(keep_bytes=40)

    def feed(self, end: End) -> None:
        gap = self.line.lacks(end) or self.line.lacks_durable()
        assert gap is not None
        between = sorted(seq for seq in self.spans if gap.after < seq < gap.before and self.spans[seq].left)
        seqs = between[:2] if end is End.OLD else between[-2:]
        spans = [self._copy(self.spans[seq]) for seq in seqs]
        edge = seqs[-1 if end is End.OLD else 0] if seqs else 0
        self.line.feed(end, Loaded(spans, [], edge, last=len(seqs) == len(between)))

    def _copy(self, span: Span) -> Span:
        """A span as it comes back from its row: the same records gone, the same waiting."""
        copy = Span(body=span.body, ends=span.ends, offset=span.offset, at=span.at)
        copy.seq, copy.stored = span.seq, True
        copy.settle_runs(span.settled_runs())
        self.spans[span.seq] = copy
        return copy

    def next(self) -> tuple[Span, int] | None:
        span = self.line.peek()
        if span is None and self.line.lacks(self.line.mode.take):
            self.feed(self.line.mode.take)
            span = self.line.peek()
        return None if span is None else (span, self.line.next_run(span, 1).start)


def send(line: Line, span: Span, index: int) -> None:
    """Send one record out."""
    line.take_run(span, range(index, index + 1))


def records_of(cuts: list[Cut]) -> list[bytes]:
    return [cut.span.payload(index) for cut in cuts for index in range(cut.low, cut.high)]


arrivals = st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=7), max_size=12)


@settings(max_examples=600)
@given(
    mode=st.integers(0, 3),
    max_records=st.integers(1, 12),
    max_bytes=st.integers(104, 900),
    rounds=st.lists(st.tuples(arrivals, st.integers(0, 6), st.booleans()), max_size=4),
)
def test_a_drop_mode_keeps_drops_and_orders_as_the_model(
    mode: int, max_records: int, max_bytes: int, rounds: list[tuple[list[list[int]], int, bool]]
) -> None:
    line = Line(MODES[mode], max_records, max_bytes)
    shelf, model = Shelf(line), Model(mode, max_records, max_bytes)
    number = 0
    for spans, takes, commit in rounds:
        for sizes in spans:
            records = []
            for size in sizes:
                number += 1
                records.append(f"{number}:".encode().ljust(size, b"x")[:40])
            _, cuts = shelf.put(records)
            before = len(model.dropped)
            for record in records:
                model.arrive(record)
            assert sorted(records_of(cuts)) == sorted(model.dropped[before:])
        if commit:
            shelf.commit()
        for _ in range(takes):
            taken = shelf.next()
            expected = model.queue.pop(0) if model.queue else None
            assert (taken and taken[0].payload(taken[1])) == expected
            if taken:
                send(line, *taken)
                taken[0].settle(taken[1])
        assert line.records == len(model.queue)
        assert line.bytes == sum(len(record) + RECORD_OVERHEAD for record in model.queue)
    while taken := shelf.next():
        assert taken[0].payload(taken[1]) == model.queue.pop(0)
        send(line, *taken)
        taken[0].settle(taken[1])
    assert not model.queue
    assert (line.records, line.bytes, line.gap_records, line.gap_bytes) == (0, 0, 0, 0)


@settings(max_examples=300)
@given(
    mode=st.sampled_from(MODES),
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=6),
    steps=st.lists(st.tuples(st.sampled_from(["take", "back", "ack"]), st.integers(0, 5)), max_size=40),
)
def test_what_comes_back_takes_its_old_place(mode: Mode, sizes: list[int], steps: list[tuple[str, int]]) -> None:
    """Whatever is out, the next record is always the one nearest to the front that waits."""
    line = Line(mode, 1000, None)
    shelf = Shelf(line)
    order: list[tuple[int, int]] = []
    for count in sizes:
        span, _ = shelf.put([b"%d" % index for index in range(count)])
        order += [(span.seq, index) for index in range(count)]
    if mode.take is End.NEW:
        order.reverse()
    waiting, out = set(order), []
    for step, which in steps:
        if step == "take":
            taken = shelf.next()
            expected = next((place for place in order if place in waiting), None)
            assert (taken and (taken[0].seq, taken[1])) == expected
            if taken and expected:
                send(line, *taken)
                waiting.remove(expected)
                out.append(taken)
        elif out:
            span, index = out.pop(which % len(out))
            if step == "back":
                line.give_back(span, index, index + 1)
                waiting.add((span.seq, index))
            else:
                span.settle(index)
                line.purge()
        assert line.records == len(waiting)


def test_a_record_that_comes_back_cuts_nothing_and_the_next_arrival_cuts_as_many_as_it_needs() -> None:
    line = Line(MODES[3], 2, None)
    shelf = Shelf(line)
    first, _ = shelf.put([b"a", b"b"])
    send(line, first, 0)
    send(line, first, 1)
    shelf.put([b"c", b"d"])
    line.give_back(first, 0, 1)
    line.give_back(first, 1, 2)
    assert line.records == 4
    _, cuts = shelf.put([b"e"])
    assert records_of(cuts) == [b"a", b"b", b"c"]
    assert line.records == 2


def test_what_is_in_flight_is_never_cut() -> None:
    for mode in MODES[:4]:
        line = Line(mode, 1, None)
        shelf = Shelf(line)
        span, _ = shelf.put([b"a"])
        send(line, span, 0)
        for name in (b"b", b"c", b"d"):
            shelf.put([name])
        assert span.left == 1
        assert line.records == 1


def test_a_backlog_that_lies_in_the_store_is_cut_without_reading_all_of_it() -> None:
    line = Line(MODES[3], 3, None)
    shelf = Shelf(line)
    for number in range(1, 6):
        span = make_span([b"%d" % number], offset=0, at=0.0)
        span.seq, span.stored = number, True
        shelf.spans[number] = span
    shelf.seq = 5
    line.begin_with(5, 5 * 65, Gap(0, 6))
    _, cuts = shelf.put([b"6"])
    assert records_of(cuts) == [b"1", b"2", b"3"]
    assert line.gap_records == 1


def test_the_hold_modes_say_how_much_of_a_span_fits() -> None:
    line = Line(MODES[4], 10, 64 * 3 + 30)
    span = make_span([b"0123456789"] * 5, offset=0, at=0.0)
    assert line.fitting(span) == 3
    rest = span.split(3)
    line.append(span)
    assert (len(rest), rest.payload(0), rest.offset) == (2, b"0123456789", 3)
    assert line.fitting(rest) == 0


def test_however_many_rows_a_gap_has_nothing_of_the_line_is_lost_when_it_closes() -> None:
    """The last rows of a gap may just fill a load, and then nothing says that they were the last."""
    for mode in MODES[:4]:
        for rows in range(1, 9):
            line = Line(mode, 1000, None)
            shelf = Shelf(line)
            for number in range(1, rows + 1):
                span = make_span([b"%d" % number], offset=0, at=0.0)
                span.seq, span.stored = number, True
                shelf.spans[number] = span
            shelf.seq = rows
            line.begin_with(rows, rows * 65, Gap(0, rows + 1))
            shelf.put([b"new"])
            taken = []
            while pair := shelf.next():
                send(line, *pair)
                pair[0].settle(pair[1])
                taken.append(pair[0].payload(pair[1]))
                shelf.commit()
            expected = [*(b"%d" % number for number in range(1, rows + 1)), b"new"]
            assert taken == (expected if mode.take is End.OLD else expected[::-1])


def test_what_is_not_durable_is_passed_over_and_the_backlog_behind_it_is_not() -> None:
    line = Line(MODES[1], 1000, None)
    shelf = Shelf(line)
    for number in (1, 2):
        span = make_span([b"%d" % number], offset=0, at=0.0)
        span.seq, span.stored = number, True
        shelf.spans[number] = span
    line.begin_with(2, 2 * 65, Gap(0, 3))
    fresh = make_span([b"fresh"], offset=0, at=0.0)
    fresh.seq = 3
    line.admit(fresh)
    assert line.peek() is None
    assert line.lacks_durable() is not None
    shelf.feed(End.NEW)
    found = line.peek()
    assert found is not None
    assert found.payload(line.next_run(found, 1).start) == b"2"


def test_a_record_whose_file_vanished_is_not_sent_before_it_has_a_row() -> None:
    line = Line(MODES[4], 1000, None)
    file = FilePosition(stream=1, name=b"a", inode=1, birth=None)
    span = make_span([b"a", b"b"], offset=0, at=0.0, file=file)
    line.append(span)
    assert line.peek() is span
    send(line, span, 0)
    file.vanished = True
    assert line.peek() is None
