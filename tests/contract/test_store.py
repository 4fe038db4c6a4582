"""The promises of the store, asked of the real one: what was committed is there, and the law holds."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.contract.shelf import (
    BOUND,
    STREAM,
    Shelf,
    cost,
    describe,
    loss,
    position,
    rows,
    set_aside,
    span,
    waiting,
)
from weir.core.errors import StateInUse, StoreFailed, StoreUnusable
from weir.core.positions import FilePosition
from weir.core.span import Span
from weir.store.directory import own
from weir.store.quarantine import ROW_BYTES as QUARANTINE_ROW_BYTES
from weir.store.seals import seal


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


# -- against a model --------------------------------------------------------------------------------------------------

RECORDS = st.lists(st.binary(max_size=12), min_size=1, max_size=6)
PICK = st.randoms(use_true_random=False)


class Life(RuleBasedStateMachine):
    """A life of a store in random steps. The model is a dictionary of lists and a few sums."""

    def __init__(self) -> None:
        super().__init__()
        self.cleanup = contextlib.ExitStack()
        path = Path(self.cleanup.enter_context(tempfile.TemporaryDirectory())) / "state"
        self.shelf = self.cleanup.enter_context(Shelf(path))
        self.backlog: dict[int, dict[int, bytes]] = {}  # seq -> index -> record, of what waits
        self.losses: dict[str, list[int]] = {}
        self.kept: list[tuple[str, int]] = []
        self.files: dict[bytes, tuple[object, ...]] = {}
        self.spans: dict[int, Span] = {}
        self.known: dict[bytes, FilePosition] = {}
        self.seq = self.sequence = 0
        self.what: dict[str, Any] = {}
        self.forget_plans()

    def forget_plans(self) -> None:
        self.what = {name: [] for name in ("inserts", "removals", "cuts", "set_aside", "losses", "files", "forgotten")}
        self.planned: set[int] = set()

    # Steps that are only planned; a commit makes them all at once

    @rule(records=RECORDS)
    def store(self, records: list[bytes]) -> None:
        self.seq += 1
        made = span(self.seq, records, offset=self.sequence)
        self.sequence += len(records)
        self.spans[self.seq] = made
        self.backlog[self.seq] = dict(enumerate(records))
        self.what["inserts"].append(made)
        self.shelf.count(read=len(records), pending=len(records))

    @precondition(lambda self: any(seq not in self.planned and self.spans[seq].stored for seq in self.backlog))
    @rule(pick=PICK, dropped=st.booleans())
    def settle(self, pick: random.Random, dropped: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
        seq = pick.choice([seq for seq in self.backlog if seq not in self.planned and self.spans[seq].stored])
        left = self.backlog[seq]
        gone = pick.sample(sorted(left), pick.randint(1, len(left)))
        for index in gone:
            self.spans[seq].settle(index)
            del left[index]
        self.planned.add(seq)
        self.what["cuts" if left else "removals"].append(self.spans[seq])
        if not left:
            del self.backlog[seq]
        end = "dropped.queueFullFront" if dropped else "delivered"
        self.shelf.count(**{end: len(gone), "pending": -len(gone)})
        if dropped:
            self.what["losses"].append(loss(len(gone)))
            self.losses.setdefault("queueFullFront", []).append(len(gone))

    @rule(kept=st.binary(max_size=20))
    def put_aside(self, kept: bytes) -> None:
        self.what["set_aside"].append(set_aside(kept))
        self.kept.append(("malformed", len(kept)))
        self.shelf.count(**{"read": 1, "quarantined.malformed": 1})

    @rule(inode=st.integers(1, 40), start=st.integers(0, 300), length=st.integers(1, 100))
    def read_on(self, inode: int, start: int, length: int) -> None:
        name = b"f%d.log" % inode
        file = self.known.get(name) or position(self.shelf.state.stream, name, inode)
        file.account(100 * start, 100 * (start + length))
        file.tail = bytes([start % 256]) * 16
        self.known[name] = file
        self.files[name] = describe(file)
        if file not in self.what["files"]:
            self.what["files"].append(file)

    @precondition(lambda self: self.known)
    @rule(pick=PICK)
    def forget(self, pick: random.Random) -> None:
        name = pick.choice(sorted(self.known))
        file = self.known[name]
        if file in self.what["files"] or not file.number:
            return
        del self.known[name], self.files[name]
        self.what["forgotten"].append(file)

    # Steps that are made

    @rule()
    def commit(self) -> None:
        self.shelf.commit(
            sequence=self.sequence, backlog_bytes=sum(len(r) + 64 for s in self.backlog.values() for r in s.values()),
            **self.what,
        )  # fmt: skip
        for made in self.what["inserts"]:
            made.stored = True
        self.forget_plans()

    @rule(limit=st.integers(1, 4), pick=PICK)
    def reopen(self, limit: int, pick: random.Random) -> None:
        self.commit()
        state = self.shelf.reopen()
        assert state.sequence == self.sequence
        assert state.backlog_bytes == cost(self.shelf.everything())
        assert {file.name: describe(file) for file in state.files} == self.files
        self.known = {file.name: file for file in state.files}
        old: list[Span] = []
        new: list[Span] = []
        ends = [pick.random() < 0.5 for _ in range(100)]
        chosen = iter(ends)
        for loaded, at_new_end in zip(self.shelf.loads(limit, lambda: next(chosen)), ends, strict=False):
            assert not loaded.damaged
            if at_new_end:
                new = [*loaded.spans, *new]
            else:
                old = [*old, *loaded.spans]
        found = [*old, *new]
        assert [one.seq for one in found] == sorted(self.backlog)
        assert waiting(found) == [record for seq in sorted(self.backlog) for record in self.backlog[seq].values()]
        self.spans = {one.seq: one for one in found}
        self.seq = max(state.next_seq - 1, 0)
        self.check_losses()

    def check_losses(self) -> None:
        told = [(row[2], row[5], row[6]) for row in self.shelf.store.losses()]
        assert told == [(reason, sum(counts), 10 * sum(counts)) for reason, counts in self.losses.items()]

    @invariant()
    def the_law_holds(self) -> None:
        assert self.shelf.store.law() == []
        assert self.shelf.stream().counts["pending"] <= self.shelf.stream().counts["read"]

    def teardown(self) -> None:
        self.reopen(2, random.Random(1))
        path = self.shelf.path
        self.shelf.close()
        with rows(path) as database:
            assert database.execute("SELECT reason, size FROM quarantine ORDER BY id").fetchall() == self.kept
            counts = database.execute("SELECT count(*) FROM chunk").fetchone()
            assert counts == (len(self.backlog),)
        self.cleanup.close()


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=20, stateful_step_count=25, suppress_health_check=list(HealthCheck))


# -- positions and the backlog ----------------------------------------------------------------------------------------


def test_the_positions_of_more_files_than_are_read_at_once_are_all_kept(state: Path) -> None:
    with Shelf(state) as shelf:
        files = [position(shelf.state.stream, b"%02d.log" % number, 100 + number) for number in range(40)]
        for file in files:
            file.account(0, 10)
        shelf.commit(files=files)
        for turn in range(3):  # a few at a time, so that they pass in and out of the stream's own row
            for start in range(0, 40, 7):
                for file in files[start : start + 7]:
                    file.account(file.position, 2_000 * turn + start + 50)
                    file.tail = bytes([turn]) * 16
                shelf.commit(files=files[start : start + 7])
                now = [describe(file) for file in files]
                assert [describe(file) for file in sorted(shelf.reopen().files, key=lambda f: f.name)] == now
                files = sorted(shelf.state.files, key=lambda file: file.name)
        assert all(file.rungs for file in files)


def test_a_file_that_is_forgotten_is_gone_and_the_others_stay(state: Path) -> None:
    with Shelf(state) as shelf:
        files = [position(shelf.state.stream, b"%02d.log" % number, 100 + number) for number in range(20)]
        shelf.commit(files=files)
        shelf.commit(forgotten=[files[0], files[19]])
        assert sorted(file.name for file in shelf.reopen().files) == [b"%02d.log" % number for number in range(1, 19)]


def test_the_id_of_a_file_is_never_given_to_another_one(state: Path) -> None:
    with Shelf(state) as shelf:
        old = position(shelf.state.stream, b"old.log", 5)
        shelf.commit(files=[old])
        shelf.commit(forgotten=[old])
        shelf.reopen()
        new = position(shelf.state.stream, b"new.log", 6)
        shelf.commit(files=[new])
        assert new.number not in {0, old.number}, "what was set aside still names the old one"


def test_what_identifies_a_file_is_kept_whenever_it_changes(state: Path) -> None:
    with Shelf(state) as shelf:
        file = position(shelf.state.stream, b"a.log", 5)
        shelf.commit(files=[file])
        file.name, file.gone_since, file.generation = b"\xff\n/a.log.1", 1_700_000_123.5, 2
        shelf.commit(files=[file])
        assert [describe(found) for found in shelf.reopen().files] == [describe(file)]


def test_a_record_in_the_backlog_still_knows_its_file(state: Path) -> None:
    with Shelf(state) as shelf:
        file = position(shelf.state.stream, b"a.log", 5)
        shelf.commit(files=[file])
        shelf.insert(span(1, [b"one", b"two"], offset=40, file=file))
        [found] = (shelf.reopen(), shelf.everything())[1]
        assert found.file is not None
        assert (found.file.name, found.file.inode, found.place(1)) == (b"a.log", 5, 44)
        assert shelf.store.holds(found.file)
        shelf.deliver(found, 0, 1)
        assert not shelf.store.holds(found.file)


@pytest.mark.parametrize("newest", [False, True])
@pytest.mark.parametrize("limit", [1, 4, 9, 10, 11, 1000])
def test_a_backlog_is_loaded_whole_and_in_order_from_either_end(state: Path, limit: int, *, newest: bool) -> None:
    with Shelf(state) as shelf:
        spans = [span(seq, [b"%d-%d" % (seq, index) for index in range(3)]) for seq in range(1, 11)]
        shelf.insert(*spans)
        shelf.deliver(spans[4], 1)
        shelf.deliver(spans[6], 0, 1, 2)
        expected = waiting(spans)
        shelf.reopen()
        assert waiting(shelf.everything(limit, newest=newest)) == expected


def test_bytes_of_every_kind_come_back_as_they_were(state: Path) -> None:
    records = [b"", b"\n", b"\r\n", b"\0" * 10, bytes(range(256)) * 300, b'{"a":1}', b"\n\n"]
    with Shelf(state) as shelf:
        shelf.insert(span(1, records), span(2, [b""]))
        shelf.reopen()
        assert waiting(shelf.everything()) == [*records, b""]


def test_removing_a_row_that_is_not_there_is_a_failure_and_changes_nothing(state: Path) -> None:
    with Shelf(state) as shelf:
        first, second = span(1, [b"one"]), span(2, [b"two"])
        shelf.insert(first)
        second.stored = True
        with pytest.raises(StoreFailed):
            shelf.deliver(second, 0)
        assert shelf.reopen().counts["delivered"] == 0
        assert shelf.store.law() == []
        assert waiting(shelf.everything()) == [b"one"]


# -- what is not what was written -------------------------------------------------------------------------------------

FLIPS = {
    "body": "substr(body, 1, 4) || char(unicode(substr(CAST(body AS TEXT), 5, 1)) + 1) || substr(body, 6)",
    "ends": "substr(ends, 1, 4) || x'09' || substr(ends, 6)",
    "extents": "x'0100000000000000'",
    "crc": "crc + 1",
    "offset": '"offset" + 1',
    "at": "at + 0.5",
}


@pytest.mark.parametrize("column", FLIPS)
def test_a_row_that_is_not_what_was_written_is_told_set_aside_and_counted(state: Path, column: str) -> None:
    with Shelf(state) as shelf:
        good, bad, later = span(1, [b"aaaa"] * 3), span(2, [b"bbbb"] * 5), span(3, [b"cccc"])
        shelf.insert(good, bad, later)
        shelf.deliver(bad, 1, 2)
    with rows(state) as database:
        body = f"CAST({FLIPS[column]} AS BLOB)" if column in {"body", "ends"} else FLIPS[column]
        database.execute(f'UPDATE chunk SET "{column}" = {body} WHERE id & 255 = 2')  # noqa: S608 - of this test
        [damaged] = database.execute("SELECT body FROM chunk WHERE id & 255 = 2").fetchone()

    with Shelf(state) as shelf:
        [loaded] = shelf.loads(10, lambda: False)
        assert loaded.damaged == [(2, 3)]
        assert waiting(loaded.spans) == [b"aaaa"] * 3 + [b"cccc"]
        shelf.count(**{"quarantined.corrupt": 3, "pending": -3})
        shelf.commit(damaged=loaded.damaged)
        assert shelf.store.law() == []
        assert [one.seq for one in (shelf.reopen(), shelf.everything())[1]] == [1, 3]
    with rows(state) as database:
        assert database.execute("SELECT reason, body FROM quarantine").fetchall() == [("corrupt", damaged)]
        assert database.execute("SELECT count(*) FROM cut").fetchone() == (0,)


def test_a_count_that_was_changed_behind_its_back_breaks_the_law(state: Path) -> None:
    with Shelf(state) as shelf:
        shelf.insert(span(1, [b"one", b"two", b"three"]))
    with rows(state) as database:
        database.execute("UPDATE stream SET delivered = delivered + 2")
        seal(database, "stream")  # as a bug of ours would have done it
    with Shelf(state) as shelf:
        assert shelf.store.law() == [(STREAM, 3 - 2 - 3, 0)]


# -- records set aside, and losses ------------------------------------------------------------------------------------


def test_the_quarantine_keeps_bodies_as_far_as_its_budget_goes_and_counts_them_all(state: Path) -> None:
    with Shelf(state, quarantine_max_bytes=4 * QUARANTINE_ROW_BYTES) as shelf:
        entries = [set_aside(b"a" * 60), set_aside(b"b" * 400), set_aside(b"c" * 40), set_aside(b"d", size=9_000)]
        shelf.count(**{"read": 4, "quarantined.malformed": 4})
        shelf.commit(set_aside=entries)
        shelf.reopen()  # the budget is that of the whole table, not of one process
        shelf.count(**{"read": 1, "quarantined.malformed": 1})
        shelf.commit(set_aside=[set_aside(b"e")])
        assert shelf.store.law() == []
    with rows(state) as database:
        kept = database.execute("SELECT size, body, length(digest) FROM quarantine ORDER BY id").fetchall()
    assert kept == [(60, b"a" * 60, 0), (400, b"", 0), (40, b"c" * 40, 0)]


def test_a_record_that_was_set_aside_says_of_which_file_it_is_though_that_is_forgotten(state: Path) -> None:
    with Shelf(state) as shelf:
        file = position(shelf.state.stream, b"\xff.log", 5)
        shelf.insert(span(1, [b"one"], file=file), files=[file])
        entry = set_aside(b"{bad")
        entry = entry._replace(reject=entry.reject._replace(file=file))
        shelf.count(**{"read": 1, "quarantined.malformed": 1})
        shelf.commit(set_aside=[entry, set_aside(b"of a pipe")])
    with rows(state) as database:
        database.execute("UPDATE chunk SET crc = crc + 1")
    with Shelf(state) as shelf:
        [loaded] = shelf.loads(10, lambda: False)
        shelf.count(**{"quarantined.corrupt": 1, "pending": -1})
        shelf.commit(damaged=loaded.damaged)
        shelf.commit(forgotten=[file])
    with rows(state) as database:
        kept = database.execute("SELECT reason, file_name FROM quarantine ORDER BY id").fetchall()
    assert kept == [("malformed", b"\xff.log"), ("malformed", b""), ("corrupt", b"\xff.log")]


def test_the_names_of_files_count_against_the_budget_of_the_quarantine(state: Path) -> None:
    with Shelf(state, quarantine_max_bytes=2 * QUARANTINE_ROW_BYTES + 10) as shelf:
        entry = set_aside(b"")
        file = position(shelf.state.stream, b"n" * 11, 5)
        entry = entry._replace(reject=entry.reject._replace(file=file))
        shelf.commit(files=[file], set_aside=[entry])
        shelf.reopen()
        shelf.commit(set_aside=[set_aside(b"")])
    with rows(state) as database:
        assert database.execute("SELECT file_name FROM quarantine").fetchall() == [(b"n" * 11,)]


def test_whether_the_backlog_holds_a_file_is_looked_up_and_not_searched_for(state: Path) -> None:
    with Shelf(state) as shelf:
        shelf.commit()
        asked: list[str] = []
        database = shelf.store._database  # noqa: SLF001 - how it is done is what matters here
        database.set_trace_callback(asked.append)
        shelf.store.holds(position(1, b"a.log", 5))
        database.set_trace_callback(None)
        plan = database.execute(f"EXPLAIN QUERY PLAN {asked[0]}").fetchall()
    assert "USING COVERING INDEX chunk_file" in plan[0][3]


def test_losses_are_summed_by_topic_and_reason_with_their_first_and_last_time(state: Path) -> None:
    with Shelf(state) as shelf:
        shelf.commit(losses=[loss(3, at=10.0), loss(1, reason="expired", at=20.0)])
        shelf.commit(losses=[loss(4, at=30.0)])
        topic = "telemetry/gateway/telemetry"
        assert shelf.store.losses() == [
            (STREAM, topic, "queueFullFront", 10.0, 30.0, 7, 70),
            (STREAM, topic, "expired", 20.0, 20.0, 1, 10),
        ]


# -- one owner, and how a run ends ------------------------------------------------------------------------------------


def test_an_unclean_stop_makes_as_many_twins_possible_as_its_settings_allowed(state: Path) -> None:
    with Shelf(state) as shelf:
        assert shelf.store.state().possible_twins == 0
        shelf.store.begin_run("gateway", {STREAM: "back/drop-front"}, 7)  # the stop of the first run was unclean
        assert shelf.store.state().possible_twins == BOUND
        assert not shelf.store.state().clean
        shelf.store.commit([], end_of_run=True)
        assert shelf.store.state().clean
    with Shelf(state) as shelf:
        assert shelf.store.state().possible_twins == BOUND
    with Shelf(state) as shelf:
        assert shelf.store.state().possible_twins == 2 * BOUND


def test_a_stream_that_a_run_does_not_name_keeps_its_rows(state: Path) -> None:
    with Shelf(state) as shelf:
        shelf.insert(span(1, [b"one"]))
        shelf.store.begin_run("gateway", {"other": "back/return-error"}, BOUND)
        modes = {stream.name: (stream.mode, stream.counts["pending"]) for stream in shelf.store.streams()}
        assert modes == {STREAM: (None, 1), "other": ("back/return-error", 0)}
        assert shelf.store.law() == []


def test_a_second_owner_is_refused_until_the_first_one_lets_go(state: Path) -> None:
    first = own(state, wait_seconds=0)
    with pytest.raises(StateInUse, match="in use"):
        own(state, wait_seconds=0)
    first.close()
    own(state, wait_seconds=0).close()


def test_the_lock_of_an_owner_that_was_killed_is_free_at_once(state: Path) -> None:
    program = (
        "import sys, signal, pathlib; from weir.store.directory import own;"
        "held = own(pathlib.Path(sys.argv[1]), wait_seconds=0); print('owned', flush=True); signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(state)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"owned\n"
        with pytest.raises(StateInUse):
            own(state, wait_seconds=0)
        owner.send_signal(signal.SIGKILL)
    own(state, wait_seconds=0).close()


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o377])
def test_nobody_else_may_read_the_state_whatever_the_umask(state: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        with Shelf(state) as shelf:
            shelf.insert(span(1, [b"secret"]))
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in state.iterdir()}
            modes["."] = stat.S_IMODE(state.stat().st_mode)
    finally:
        os.umask(before)
    files = {"lock", "reserve", "weir.db", "weir.db-wal", "last-commit"}
    assert modes == {".": 0o700, **dict.fromkeys(files, 0o600)}


# -- a database that cannot be used -----------------------------------------------------------------------------------


def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(state: Path) -> None:
    with Shelf(state) as shelf:
        shelf.insert(span(1, [b"one"]))
    with rows(state) as database:
        database.execute("PRAGMA user_version = 2")
    content = (state / "weir.db").read_bytes()
    with pytest.raises(StoreUnusable, match="version 2"), Shelf(state):
        pass
    assert (state / "weir.db").read_bytes() == content
    assert sorted(path.name for path in state.iterdir()) == ["last-commit", "lock", "reserve", "weir.db"]


@pytest.mark.parametrize(
    "content", [b"no database at all\n" * 500, bytes(8192), b"SQLite format 3\0" + b"\xff" * 5000, b""]
)
def test_a_file_that_is_no_database_is_moved_aside_and_a_new_epoch_begins(state: Path, content: bytes) -> None:
    with Shelf(state) as shelf:
        shelf.insert(span(1, [b"one"]))
        epoch = shelf.store.state().epoch
    (state / "weir.db").write_bytes(content)
    (state / "weir.db-wal").write_bytes(b"what was not folded in yet")

    with Shelf(state) as shelf:
        now = shelf.store.state()
        assert now.state_lost == 1
        assert now.epoch != epoch
        assert shelf.state.counts["read"] == 0
        assert shelf.store.law() == []
        assert shelf.store.recovery is not None
        aside = shelf.store.recovery.aside
        assert aside is not None
        assert aside.read_bytes() == content
        assert Path(f"{aside}-wal").read_bytes() == b"what was not folded in yet"
        shelf.insert(span(1, [b"two"]))
        assert waiting((shelf.reopen(), shelf.everything())[1]) == [b"two"]
        assert shelf.store.recovery is None
        assert shelf.store.state().state_lost == 1


def test_a_directory_that_cannot_be_made_is_refused_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreUnusable, match="file/state"):
        own(tmp_path / "file" / "state", wait_seconds=0)


# -- a full disk ------------------------------------------------------------------------------------------------------

MIB = 1 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a disk of 16 MiB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m,mode=0700", "tmpfs", str(place)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"SKIP: no file system can be mounted here ({mounted.stderr.strip()})")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(path: Path) -> None:
    """Write until nothing more fits."""
    with path.open("wb", buffering=0) as file:
        for size in (MIB, 4096):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass


def test_the_reserve_is_really_allocated_and_given_up_once(state: Path) -> None:
    with Shelf(state) as shelf:
        assert (state / "reserve").stat().st_blocks * 512 >= MIB
        assert shelf.directory.spend_reserve()
        assert not shelf.directory.spend_reserve()
        shelf.reopen()
        assert (state / "reserve").exists()


def test_a_full_disk_fails_the_commit_keeps_the_law_and_still_counts_and_shrinks(small_disk: Path) -> None:
    with Shelf(small_disk / "state") as shelf:
        spans = [span(seq, [b"%04d" % seq * 100] * 20) for seq in range(1, 101)]
        shelf.insert(*spans)
        before = dict(shelf.counts)
        fill(small_disk / "filler")

        with pytest.raises(StoreFailed, match="full"):
            shelf.insert(*(span(seq, [b"x" * 4000] * 16) for seq in range(101, 151)))
        assert not (small_disk / "state" / "reserve").exists()
        assert shelf.reopen().counts == before
        assert shelf.store.law() == []

        held = shelf.everything(1000)
        assert waiting(held) == waiting(spans)
        for one in held:  # on a disk that is as full as before, but for the reserve
            shelf.count(**{"dropped.queueFullFront": 20, "pending": -20})
            for index in range(20):
                one.settle(index)
            shelf.commit(removals=[one], losses=[loss(20)])
            assert shelf.store.law() == []
        assert shelf.reopen().counts["dropped.queueFullFront"] == 2000
        assert shelf.state.counts["pending"] == 0
        assert shelf.everything() == []


def test_a_disk_that_stays_full_is_counted_on_for_as_long_as_it_takes(small_disk: Path) -> None:
    with Shelf(small_disk / "state") as shelf:
        shelf.insert(*(span(seq, [b"y" * 200] * 100) for seq in range(1, 21)))
        fill(small_disk / "filler")
        with pytest.raises(StoreFailed):
            shelf.insert(*(span(seq, [b"x" * 4000] * 16) for seq in range(101, 151)))
        shelf.reopen()
        held = iter(shelf.everything(1000))
        one = next(held)
        for turn in range(1_500):
            if not one.left:
                one = next(held)
            shelf.deliver(one, one.oldest())
            assert shelf.counts["delivered"] == turn + 1
        assert shelf.reopen().counts["delivered"] == 1_500
        assert shelf.store.law() == []


def test_a_run_can_begin_on_a_disk_that_is_full(small_disk: Path) -> None:
    with Shelf(small_disk / "state") as shelf:
        shelf.insert(span(1, [b"one"]))
    fill(small_disk / "filler")
    with contextlib.suppress(StoreFailed), Shelf(small_disk / "state"):
        pass  # the first attempt may find no room, and gives up the reserve
    with Shelf(small_disk / "state") as shelf:
        shelf.deliver(shelf.everything()[0], 0)
        assert shelf.store.law() == []
        assert shelf.counts["delivered"] == 1


def test_a_run_that_committed_nothing_leaves_the_positions_to_the_boot_they_are_of(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Shelf(state) as shelf:
        shelf.insert(span(1, [b"one"]))
    monkeypatch.setattr("weir.store.store.boot_id", lambda: "the next boot")
    for committing, same in ((False, False), (True, False), (False, True)):
        with Shelf(state) as shelf:
            shelf.store.begin_run("thing", {}, 0)
            assert shelf.store.state().same_boot is same
            if committing:
                shelf.insert(span(2, [b"two"]))
