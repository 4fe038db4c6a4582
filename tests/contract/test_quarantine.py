"""What lies in quarantine: what is kept, what can be replayed, where it goes, and what is gone when it is purged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.shelf import STREAM as SHELF_STREAM
from tests.contract.shelf import Shelf, position, rows, set_aside
from tests.fakes import FakeTransport
from tests.rig import STREAM, Rig
from weir.core.changes import SetAside
from weir.core.line import Line
from weir.core.quarantine import DAMAGED, QUEUE_FULL, Kept, spans_of
from weir.core.span import SPAN_BYTES, SPAN_RECORDS
from weir.store.quarantine import ROW_BYTES
from weir.wiring import aside

BAD = b'{"id":%d'


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def begin(**changes: object) -> Rig:
        if rigs:
            rigs[-1].close()
        pipe = bool(changes.pop("pipe", False))
        rig = Rig(tmp_path, lambda inbox: FakeTransport(inbox.post, inbox.settled), pipe=pipe, changes=changes)
        rigs.append(rig)
        return rig

    yield begin
    for rig in rigs:
        rig.close()


def put_aside(shelf: Shelf, *entries: SetAside) -> None:
    shelf.count(**{"read": len(entries), "quarantined.malformed": len(entries)})
    shelf.commit(set_aside=list(entries))


def ask(rig: Rig, do: str, **what: object) -> dict[str, Any]:
    """Ask as the control socket does."""
    store = rig.ledger.store
    return aside.answer(
        {"do": do, **what},
        store.quarantine,
        rig.forwarder.replay,
        lambda numbers, not_kept: rig.forwarder.purge(numbers, not_kept=not_kept),
    )


def write(rig: Rig, *lines: bytes, name: str = "a.jsonl") -> None:
    with (rig.inbox_path / name).open("ab") as file:
        file.write(b"".join(line + b"\n" for line in lines))
    rig.inbox.wake()


def received(rig: Rig) -> list[bytes]:
    assert isinstance(rig.transport, FakeTransport)
    return [message.payload for message in rig.transport.received]


def line(rig: Rig) -> Line:
    return rig.ledger.streams[0].line


def stays(answer: dict[str, Any]) -> dict[int, str]:
    return dict(answer["stay"])


# -- what is kept -----------------------------------------------------------------------------------------------------


def test_an_entry_says_whether_it_can_be_replayed_and_why_not(state: Path) -> None:
    with Shelf(state, quarantine_max_bytes=3 * ROW_BYTES + 150) as shelf:
        put_aside(shelf, set_aside(b"x" * 100), set_aside(b"head", size=5_000), set_aside(b"y" * 100))
        found = aside.answer_from(shelf.store, {"do": "list"})["entries"]
        assert [(entry["size"], entry["kept"], entry["obstacle"]) for entry in found] == [
            (100, 100, None),
            (5_000, 4, "only its first 4 of 5000 bytes were kept"),
            (100, 0, "nothing of it was kept, for the quarantine was full"),
        ]
        assert [entry["replayable"] for entry in found] == [True, False, False]
        answer = aside.answer_from(shelf.store, {"do": "replay"})
        assert (answer["replayed"], sorted(stays(answer))) == (1, [2, 3])


def test_a_full_budget_is_told_and_what_is_replayed_or_purged_gives_its_room_back(state: Path) -> None:
    with Shelf(state, quarantine_max_bytes=2 * ROW_BYTES + 20) as shelf:
        put_aside(shelf, *[set_aside(b"0123456789")] * 5)
        held = aside.answer_from(shelf.store, {"do": "list"})["held"]
        assert held == {"entries": 2, "bytes": 2 * ROW_BYTES + 20, "notKept": 3}
        assert shelf.reopen().counts["quarantined.malformed"] == 5
        assert aside.answer_from(shelf.store, {"do": "list"})["held"] == held

        assert aside.answer_from(shelf.store, {"do": "purge", "ids": [1]})["purged"] == 1
        shelf.counts = dict(shelf.stream().counts)
        put_aside(shelf, set_aside(b"9876543210"))
        assert [entry.number for entry in shelf.store.quarantine.page(0, aside.MOST, 10)] == [2, 3]

        assert aside.answer_from(shelf.store, {"do": "replay", "ids": [2]})["replayed"] == 1
        shelf.state, shelf.counts = shelf.stream(), dict(shelf.stream().counts)
        put_aside(shelf, set_aside(b"9876543210"))
        held = aside.answer_from(shelf.store, {"do": "list"})["held"]
        assert (held["entries"], held["notKept"]) == (2, 3)

        assert aside.answer_from(shelf.store, {"do": "purge"})["purged"] == 2
        held = aside.answer_from(shelf.store, {"do": "list"})["held"]
        assert held == {"entries": 0, "bytes": 0, "notKept": 0}
        assert shelf.store.law() == []


def test_the_number_of_an_entry_is_never_given_to_another_one(state: Path) -> None:
    with Shelf(state) as shelf:
        put_aside(shelf, set_aside(b"one"), set_aside(b"two"))
        aside.answer_from(shelf.store, {"do": "purge"})
        shelf.reopen()
        put_aside(shelf, set_aside(b"three"))
        assert [entry.number for entry in shelf.store.quarantine.page(0, aside.MOST, 10)] == [3]


def test_a_record_that_is_not_what_was_written_is_not_replayed(state: Path) -> None:
    with Shelf(state) as shelf:
        put_aside(shelf, set_aside(b"good"), set_aside(b"evil"))
    with rows(state) as database:
        database.execute("UPDATE quarantine SET body = CAST('Evil' AS BLOB) WHERE id = 2")
    with Shelf(state) as shelf:
        answer = aside.answer_from(shelf.store, {"do": "replay"})
        assert (answer["replayed"], stays(answer)) == (1, {2: DAMAGED})
        assert [one.payload(0) for one in shelf.everything()] == [b"good"]


def test_an_entry_is_shown_a_piece_at_a_time_with_the_name_of_its_file(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aside, "PIECE_BYTES", 4)
    with Shelf(state) as shelf:
        file = position(shelf.state.stream, b"a.log", 5)
        entry = set_aside(b"0123456789")
        put_aside(shelf, entry._replace(reject=entry.reject._replace(file=file)))
        first = aside.answer_from(shelf.store, {"do": "show", "id": 1})
        assert (first["entry"]["file"], first["entry"]["place"], first["bytes"]) == ("a.log", 7, "MDEyMw==")
        assert aside.answer_from(shelf.store, {"do": "show", "id": 1, "offset": 8})["bytes"] == "ODk="
        assert aside.answer_from(shelf.store, {"do": "show", "id": 2})["entry"] is None


def test_many_entries_are_looked_at_a_page_at_a_time_and_each_once(state: Path) -> None:
    with Shelf(state, quarantine_max_bytes=1 << 24) as shelf:
        put_aside(shelf, *[set_aside(b"%d" % number) for number in range(2 * aside.PAGE + 10)])
        for do in ("list", "replay"):
            seen: list[int] = []
            answer = aside.answer_from(shelf.store, {"do": do})
            while True:
                found = answer["looked"] if do == "replay" else [entry["id"] for entry in answer["entries"]]
                assert len(found) <= aside.PAGE
                seen += found
                if not answer["more"]:
                    break
                more = {"after": answer["after"], "upto": answer["upto"]}
                answer = aside.answer_from(shelf.store, {"do": do, **more})
            assert seen == list(range(1, 2 * aside.PAGE + 11))
        assert shelf.stream().counts["replayed"] == 2 * aside.PAGE + 10


@pytest.mark.parametrize(
    "request_",
    [
        *({}, {"do": "eat"}, {"do": "replay", "ids": 3}, {"do": "replay", "ids": [-1]}, {"do": "purge", "ids": ["1"]}),
        *({"do": "list", "after": "x"}, {"do": "show", "id": 1 << 70}, {"do": "replay", "ids": [1] * 300}),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(state: Path, request_: dict[str, object]) -> None:
    with Shelf(state) as shelf, pytest.raises(ValueError, match=r"nothing to do|must be"):
        aside.answer_from(shelf.store, request_)


def test_what_is_replayed_is_cut_into_spans_and_has_places_of_its_own() -> None:
    records = [b"%d" % number for number in range(SPAN_RECORDS + 1)] + [b"x" * SPAN_BYTES, b"\n\n", b""]
    spans = spans_of(records, replayed=7, at=1.0, read_at=None)
    assert [one.payload(index) for one in spans for index in range(len(one))] == records
    assert all(len(one) <= SPAN_RECORDS for one in spans)
    places = [one.place(index) for one in spans for index in range(len(one))]
    assert sorted(places) == [-number for number in range(7 + len(records), 7, -1)]


# -- where it goes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", range(6))
@pytest.mark.parametrize("pipe", [False, True])
def test_a_replay_is_a_new_reading_in_every_mode(make: Callable[..., Rig], mode: int, *, pipe: bool) -> None:
    rig = make(streams__telemetry__queue__mode=mode, pipe=pipe)
    rig.feed(26)
    rig.until(lambda: rig.settled == 26, "all is read")
    quarantined = rig.counts["quarantined.malformed"]
    assert quarantined == 2
    answer = ask(rig, "replay")
    assert (answer["replayed"], stays(answer)) == (2, {})
    counts = rig.counts
    assert (counts["read"], counts["pending"], counts["replayed"]) == (28, 2, 2)
    assert rig.ledger.store.law() == []
    rig.until(lambda: rig.settled == 28, "it is sent")
    assert rig.counts["quarantined.malformed"] == quarantined
    assert sorted(received(rig)) == sorted(rig.fed)
    assert ask(rig, "list")["entries"] == []


@pytest.mark.parametrize("mode", [4, 5])
def test_what_does_not_fit_a_queue_that_holds_stays_in_quarantine(make: Callable[..., Rig], mode: int) -> None:
    rig = make(streams__telemetry__queue__mode=mode, streams__telemetry__queue__maxRecords=5)
    rig.transport.interrupt()  # type: ignore[attr-defined]  # the fake's
    write(rig, *[BAD % n for n in range(8)], b'{"id":9}')
    rig.until(lambda: rig.counts["quarantined.malformed"] == 8, "all is set aside")
    answer = ask(rig, "replay")
    assert (answer["replayed"], stays(answer)) == (4, dict.fromkeys(range(5, 9), QUEUE_FULL))
    assert rig.counts["pending"] == 4
    assert (line(rig).records, rig.ledger.store.law()) == (5, [])
    rig.transport.resume()  # type: ignore[attr-defined]
    rig.until(lambda: len(received(rig)) == 5, "they are sent")
    assert ask(rig, "replay")["replayed"] == 4


@pytest.mark.parametrize("mode", range(4))
def test_in_a_queue_that_drops_it_is_a_new_record_like_any_other(make: Callable[..., Rig], mode: int) -> None:
    rig = make(
        streams__telemetry__queue__mode=mode,
        streams__telemetry__queue__maxRecords=5,
        state__commitSeconds=0.1,
        pipe=True,
    )
    rig.transport.interrupt()  # type: ignore[attr-defined]  # the fake's
    rig.feed(8 * 13)
    rig.until(lambda: rig.counts["read"] == 8 * 13, "all is read")
    assert ask(rig, "replay")["replayed"] == 8
    rig.seconds(2)
    counts = rig.counts
    reason = "queueFullFront" if mode in {2, 3} else "queueFullBack"
    assert (counts["pending"], counts["replayed"], counts[f"dropped.{reason}"]) == (5, 8, 8 * 12 - 5 + 8)
    assert rig.ledger.store.law() == []
    rig.transport.resume()  # type: ignore[attr-defined]
    rig.until(lambda: not rig.counts["pending"], "the rest is sent")
    kept_last = rig.fed[12::13]
    assert set(received(rig)) & set(kept_last) == {1: set(kept_last[3:]), 3: set(kept_last[3:])}.get(
        mode, {kept_last[-1]}
    )


def test_a_record_that_a_message_or_the_queue_cannot_hold_stays_and_says_so(make: Callable[..., Rig]) -> None:
    rig = make(streams__telemetry__queue__maxBytes=500)
    kept = [Kept(1, STREAM, b"x" * 437), Kept(2, STREAM, b"x" * 200_000), Kept(3, "other", b"x")]
    refused = rig.forwarder.replay(kept)
    assert "queue.maxBytes is 500" in refused[1]
    assert "a message of this connection can carry" in refused[2]
    assert refused[3] == "the settings have no stream other"
    assert rig.counts["read"] == 0


def test_where_the_topic_names_the_file_nothing_is_replayed(make: Callable[..., Rig]) -> None:
    rig = make(streams__telemetry__topic="t/{file}")
    write(rig, BAD % 1)
    rig.until(lambda: rig.counts["quarantined.malformed"] == 1, "it is set aside")
    answer = ask(rig, "replay")
    assert (answer["replayed"], answer["stay"]) == (
        0,
        [[1, "the topic of its stream names the file, and a replay comes from none"]],
    )


def test_a_replay_that_is_no_json_is_text_or_base64_in_an_envelope(make: Callable[..., Rig]) -> None:
    rig = make(streams__telemetry__envelope="json")
    write(rig, b'{"id":1', b"\xff\xfe")
    rig.until(lambda: rig.counts["quarantined.malformed"] == 2, "they are set aside")
    ask(rig, "replay")
    rig.until(lambda: rig.counts["delivered"] == 2, "they are sent")
    first, second = map(json.loads, received(rig))
    assert first["data"] == '{"id":1'
    assert (second["encoding"], second["data"]) == ("base64", "//4=")


def test_a_replay_that_cannot_be_sent_either_comes_back_as_a_new_entry(make: Callable[..., Rig]) -> None:
    rig = make(streams__telemetry__envelope="json", streams__telemetry__topic="t/{record.site}")
    write(rig, b'{"id": 1.50}')
    rig.until(lambda: rig.counts["quarantined.badTopic"] == 1, "it is set aside")
    messages = rig.ledger.streams[0].messages
    [span] = spans_of([b'{"site":"a","id": 1.50}'], replayed=0, at=1.0, read_at=None)
    message = messages.message(span, 0, span.payload(0))
    assert message.topic == "t/a"
    assert message.payload.endswith(b',"data":{"site":"a","id": 1.50}}')
    assert ask(rig, "replay")["replayed"] == 1
    rig.until(lambda: rig.counts["quarantined.badTopic"] == 2, "it is refused again")
    assert [entry["id"] for entry in ask(rig, "list")["entries"]] == [2]
    places = [values["place"] for event, values in rig.events if event == "quarantined"]
    assert places == [0, None], "a replay has no place in any file"


def test_a_replay_never_has_the_id_of_another_record(make: Callable[..., Rig]) -> None:
    rig = make(pipe=True)
    ids: list[bytes] = []
    for _ in range(3):
        rig.feed(26)
        rig.until(lambda: rig.settled == len(rig.fed) + rig.counts["replayed"], "all is settled")
        rig.transport.interrupt()  # type: ignore[attr-defined]  # the fake's
        rig.seconds(1)
        ask(rig, "replay")
        for span in line(rig).resident():
            messages = rig.ledger.streams[0].messages
            ids += [messages.id_of(span, index, span.payload(index)) for index in range(len(span)) if span.left]
        rig.transport.resume()  # type: ignore[attr-defined]
        rig.until(lambda: not rig.counts["pending"], "they are sent")
    assert len(ids) == len(set(ids)) == 6


def test_a_replay_of_before_a_restart_waits_and_is_sent(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.transport.interrupt()  # type: ignore[attr-defined]  # the fake's
    write(rig, BAD % 1, BAD % 2)
    rig.until(lambda: rig.counts["quarantined.malformed"] == 2, "they are set aside")
    assert ask(rig, "replay", ids=[2])["replayed"] == 1
    rig.die()
    rig.begin(lambda inbox: FakeTransport(inbox.post, inbox.settled))
    rig.until(lambda: rig.counts["delivered"] == 1, "it is sent")
    assert received(rig) == [BAD % 2]
    assert [entry["id"] for entry in ask(rig, "list")["entries"]] == [1]


# -- while nobody runs ------------------------------------------------------------------------------------------------


def test_without_a_forwarder_a_replay_waits_for_the_next_run_and_needs_a_stream_that_there_is(state: Path) -> None:
    with Shelf(state) as shelf:
        put_aside(shelf, set_aside(b"\n\0\xff"), set_aside(b"two"))
        answer = aside.answer_from(shelf.store, {"do": "replay", "ids": [1, 9]})
        assert (answer["replayed"], answer["looked"], answer["stay"]) == (1, [1], [])
        counts = shelf.stream().counts
        assert (counts["read"], counts["pending"], counts["replayed"], counts["quarantined.malformed"]) == (3, 1, 1, 2)
        shelf.reopen()
        assert [one.payload(0) for one in shelf.everything()] == [b"\n\0\xff"]
        shelf.store.begin_run("gateway", {"other": "back/drop-front"}, 60)
        answer = aside.answer_from(shelf.store, {"do": "replay"})
        why = f"the settings of the last run have no stream {SHELF_STREAM}"
        assert (answer["replayed"], stays(answer)) == (0, {2: why})
        assert shelf.store.law() == []
