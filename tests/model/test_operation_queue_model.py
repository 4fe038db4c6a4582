"""The operation queue against a model that shares nothing with it: a list with its front at index 0."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.connection import FakeConnection
from weir.operation_queue import MqttOperationQueue, Operation, Publish, QueueFull, Subscribe, Unsubscribe

AT_LEAST_ONCE = 1
INSERTS_AT_THE_FRONT = {1, 2, 5}
DROPS_AT_THE_FRONT = {2, 3}
RETURNS_AN_ERROR = {4, 5}


@dataclass
class Model:
    """What the written description says, in plain steps."""

    mode: int
    limit: int | None
    window: int
    queue: list[str] = field(default_factory=list)
    out: list[str] = field(default_factory=list)
    answered: list[tuple[str, list[str]]] = field(default_factory=list)  # not told yet: by name, and where it belongs
    sent: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def add(self, name: str, index: int | None) -> None:
        if self.limit is not None and len(self.queue) >= self.limit:
            if self.mode in RETURNS_AN_ERROR:
                self.refused.append(name)
                return
            self.dropped.append(self.queue.pop(0 if self.mode in DROPS_AT_THE_FRONT else -1))
        if index is None:
            index = 0 if self.mode in INSERTS_AT_THE_FRONT else len(self.queue)
        self.queue.insert(index, name)

    def remove_at(self, index: int) -> None:
        if index < len(self.queue):
            self.removed.append(self.queue.pop(index))

    def remove(self, ending: str) -> None:
        self.removed += [name for name in self.queue if name.endswith(ending)]
        self.queue = [name for name in self.queue if not name.endswith(ending)]

    def release(self, _: int) -> None:
        for name, outcomes in self.answered:
            outcomes.append(name)
        self.answered.clear()
        while self.queue and len(self.out) < self.window:
            self.out.append(self.queue.pop(0))
            self.sent.append(self.out[-1])

    def ack(self, count: int) -> None:
        self.answered += [(name, self.acknowledged) for name in self.out[:count]]
        del self.out[:count]

    def fail(self, _: int) -> None:
        if self.out:
            self.answered.append((self.out.pop(0), self.failed))


class Bench:
    """The queue and its connection, with the worker's steps made by hand."""

    def __init__(self, mode: int, limit: int | None, window: int) -> None:
        self.connection = FakeConnection()
        self.dropped: list[str] = []
        self.refused: list[str] = []
        self.removed: list[str] = []
        self.sent: list[str] = []
        self.acknowledged: list[str] = []
        self.failed: list[str] = []
        self.full = 0
        self.queue = MqttOperationQueue(
            connection=self.connection,
            limit=limit,
            mode=mode,
            max_incomplete=window,
            max_in_flight=window,
            on_sent=lambda operation: self.sent.append(operation.topic),
            on_acknowledged=lambda operation, _: self.acknowledged.append(operation.topic),
            on_failed=lambda operation, _: self.failed.append(operation.topic),
            on_dropped=lambda operation: self.dropped.append(operation.topic),
            on_full=self._count_full,
        )

    def _count_full(self, _operation: Operation) -> None:
        self.full += 1

    def add(self, name: str, index: int | None) -> None:
        operation: Operation = Publish(name, b"payload", AT_LEAST_ONCE)
        if name.endswith("1"):
            operation = Subscribe(name, AT_LEAST_ONCE)
        elif name.endswith("2"):
            operation = Unsubscribe(name)
        try:
            if index is None:
                self.queue.add(operation)
            else:
                self.queue.insert(index, operation)
        except QueueFull:
            self.refused.append(name)

    def remove_at(self, index: int) -> None:
        try:
            self.removed.append(self.queue.remove_at(index).topic)
        except IndexError:
            assert index >= self.queue.size

    def remove(self, ending: str) -> None:
        self.removed += [one.topic for one in self.queue.remove(lambda operation: operation.topic.endswith(ending))]

    def release(self, _: int) -> None:
        self.queue._worker.step()  # noqa: SLF001 - what its thread does in a turn, without the wait

    def ack(self, count: int) -> None:
        self.connection.ack(count)

    def fail(self, _: int) -> None:
        if self.connection.out:
            self.connection.fail()


adding = st.tuples(st.just("add"), st.none() | st.integers(0, 9))
steps = st.lists(
    st.one_of(
        adding,
        adding,
        adding,
        st.tuples(st.sampled_from(["remove_at", "remove", "fail"]), st.integers(0, 9)),
        st.tuples(st.sampled_from(["release", "ack"]), st.integers(1, 5)),
    ),
    max_size=60,
)


@pytest.mark.parametrize("mode", range(6))
@settings(max_examples=700)
@given(limit=st.none() | st.integers(1, 6), window=st.integers(1, 4), sequence=steps)
def test_what_is_dropped_kept_and_sent_is_what_the_mode_says(
    mode: int, limit: int | None, window: int, sequence: list[tuple[str, int | None]]
) -> None:
    model, bench = Model(mode, limit, window), Bench(mode, limit, window)
    for number, (action, argument) in enumerate(sequence):
        for side in (model, bench):
            if action == "add":
                side.add(f"{number}", argument)
            elif action == "remove":
                side.remove(f"{argument}")
            else:
                getattr(side, action)(argument)
        compare(model, bench)
    while model.queue or model.out or model.answered:
        for side in (model, bench):
            side.ack(5)
            side.release(0)
        compare(model, bench)
    account = bench.queue.account()
    assert account.taken == len(model.acknowledged + model.failed + model.dropped + model.removed)


def compare(model: Model, bench: Bench) -> None:
    assert [operation.topic for operation in bench.queue.operations()] == model.queue
    assert bench.queue.size == len(model.queue)
    for name in ("sent", "dropped", "refused", "removed", "acknowledged", "failed"):
        assert getattr(bench, name) == getattr(model, name), name
    account = bench.queue.account()
    assert bench.full == len(model.dropped) + len(model.refused) == account.dropped + account.refused
    assert account.taken == sum(account[1:8])
    assert account[1:] == (
        len(model.queue),
        len(model.out) + len(model.answered),
        len(model.acknowledged),
        0,
        len(model.failed),
        len(model.dropped),
        len(model.removed),
        len(model.sent),
        len(model.refused),
    )
    assert bench.connection.get_stats().incomplete_operation_count <= model.window


@pytest.mark.parametrize("mode", [0, 3, 4])
def test_what_was_queued_before_the_start_is_sent_in_that_order(mode: int) -> None:
    bench = Bench(mode, None, window=10)
    for name, action in (("filter", "subscribe"), ("topic", "publish"), ("filter", "unsubscribe")):
        operation = {
            "subscribe": Subscribe(name, 1),
            "publish": Publish(name, b"", 1),
            "unsubscribe": Unsubscribe(name),
        }
        bench.queue.add(operation[action])
    bench.release(0)
    assert [kind for kind, _, _ in bench.connection.sent] == ["subscribe", "publish", "unsubscribe"]
