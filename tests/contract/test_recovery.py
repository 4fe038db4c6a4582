"""What is noticed of a damaged state, what is saved of it, and that a crash while it is replaced harms nobody."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.lives import FOLDER, PIPE, Life, find
from tests.contract.shelf import Shelf, describe, loss, position, rows, span, waiting
from tests.contract.test_damaged_state import judge
from weir.core.errors import StoreUnusable
from weir.store.directory import ASIDE, DATABASE, MOST_ASIDE, own
from weir.store.seals import SEALED
from weir.store.store import Store
from weir.store.witness import NAME as WITNESS


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    life = Life(tmp_path / "life", 7)
    for _ in range(8):
        life.commit()
    yield life
    life.close()


def asides(path: Path) -> list[str]:
    return sorted(file.name for file in path.glob(f"{ASIDE}*") if not file.name.endswith("-wal"))


# -- what is noticed --------------------------------------------------------------------------------------------------


def test_commits_that_a_damaged_log_takes_back_are_missed_and_the_rest_goes_on(life: Life, tmp_path: Path) -> None:
    was = life.leave(tmp_path / "before")
    for _ in range(3):
        life.commit()
    now = life.leave(tmp_path / "left")
    log = now.path / f"{DATABASE}-wal"
    os.truncate(log, (was.path / f"{DATABASE}-wal").stat().st_size)

    found = find(now.path)
    assert "transactions are not there" in str(found.reason)
    assert (found.lost, found.law, len(asides(now.path))) == (1, [], 1)
    assert found.epoch != now.epoch
    assert found.waiting == was.waiting
    assert {f.name: describe(f) for f in found.states[FOLDER].files} == was.files[FOLDER]
    for name, one in found.states.items():
        assert one.counts["read"] == len(was.waiting[name]) + one.counts["quarantined.malformed"]


def test_a_witness_that_is_old_damaged_or_gone_raises_no_alarm(life: Life, tmp_path: Path) -> None:
    old = (life.path / WITNESS).read_bytes()
    life.commit()
    for number, content in enumerate((old, b"", bytes(100), old[:-9] + b"]]]]\n", None)):
        was = life.leave(tmp_path / str(number))
        if content is None:
            (was.path / WITNESS).unlink()
        else:
            (was.path / WITNESS).write_bytes(content)
        found = find(was.path)
        assert (list(judge(was, found)), found.epoch, found.lost) == ([], was.epoch, 0)
        assert was.epoch.encode() in (was.path / WITNESS).read_bytes()


def test_a_commit_of_which_the_witness_was_not_told_any_more_raises_no_alarm(life: Life, tmp_path: Path) -> None:
    before = (life.path / WITNESS).read_bytes()
    for number in range(4):
        life.commit()
        was = life.leave(tmp_path / str(number))
        (was.path / WITNESS).write_bytes(before)
        assert list(judge(was, find(was.path))) == []


@pytest.mark.parametrize("what", ["database", "log", "both"])
def test_files_that_are_gone_are_missed(life: Life, tmp_path: Path, what: str) -> None:
    was = life.leave(tmp_path / "left")
    for name in {"database": [DATABASE], "log": [f"{DATABASE}-wal"], "both": [DATABASE, f"{DATABASE}-wal"]}[what]:
        (was.path / name).unlink()
    found = find(was.path)
    assert (found.lost, found.law) == (1, [])
    assert found.epoch != was.epoch


CHANGES = {
    "a counter": "UPDATE stream SET delivered = delivered + 4 WHERE name = 'pipe'",
    "a counter that is smaller": "UPDATE stream SET read = read - 1, delivered = delivered - 1",
    "a position": "UPDATE stream SET positions = replace(positions, '1', '2')",
    "a name": "UPDATE stream SET name = 'p1pe' WHERE name = 'pipe'",
    "a file": "UPDATE file SET inode = inode + 1",
    "what is gone of a chunk": "UPDATE cut SET settled = '[]'",
    "the possible twins": "UPDATE store SET possible_twins = possible_twins + 16",
    "a loss": "UPDATE loss SET records = records + 64",
    "a size of a chunk": "UPDATE chunk SET n = n + 1",
    "the place of a chunk": "UPDATE chunk SET id = id + (8 << 40) WHERE id = (SELECT max(id) FROM chunk)",
    "the version": "PRAGMA user_version = 9",
    "no version": "PRAGMA user_version = 0",
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_was_changed_behind_its_back_is_noticed_and_who_only_looks_changes_nothing(
    life: Life, tmp_path: Path, what: str
) -> None:
    was = life.leave(tmp_path / "left")
    with rows(was.path) as database:
        database.execute(CHANGES[what])
    content = (was.path / DATABASE).read_bytes()
    if what != "the place of a chunk":  # the law breaks with that, and who only looks may see it
        directory = own(was.path, wait_seconds=0)
        with pytest.raises(StoreUnusable, match="damaged"):
            Store(directory, time.time, mend=False)
        assert (was.path / DATABASE).read_bytes() == content
        directory.close()
    found = find(was.path)
    assert (found.lost, found.law, len(asides(was.path))) == (1, [], 1)
    assert list(judge(was, found)) == []
    assert found.waiting[PIPE], "what can be read is saved"


KEYS = {"loss": {"stream", "topic", "reason"}}


@pytest.mark.parametrize("table", SEALED)
@pytest.mark.parametrize("value", ["NULL", "x'ff00'", "1e300"])
def test_whatever_a_row_turned_into_it_is_damage_and_nothing_else(
    life: Life, tmp_path: Path, table: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weir.store.inspection.SMALL_BYTES", 0)  # as in a large one
    columns = [name for name in SEALED[table].split(", ") if name not in KEYS.get(table, {"id"})]
    for column in columns[:: max(1, len(columns) // 5)]:
        was = life.leave(tmp_path / column)
        with rows(was.path) as database:
            _loosen(database, table)
            where = f"{column} IS NOT {value}" + (" AND id = 1" if table == "stream" else "")
            changed = database.execute(f"UPDATE {table} SET {column} = {value} WHERE {where}")  # noqa: S608 - of this test
            if not changed.rowcount:
                continue
        found = find(was.path)
        assert list(judge(was, found)) == [], column
        assert found.lost == 1, column


def _loosen(database: sqlite3.Connection, table: str) -> None:
    """Let a table take any value, as damage does: the words that restrict it are taken out of its schema."""
    database.execute("PRAGMA writable_schema = ON")
    [sql] = database.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    for word in (" NOT NULL", " STRICT, WITHOUT ROWID", " STRICT", " UNIQUE", " CHECK (id = 1)"):
        sql = sql.replace(word, " WITHOUT ROWID" if "ROWID" in word else "" if word != " UNIQUE" else word)
    sql = sql.replace(" INTEGER", " ANY").replace("id ANY PRIMARY", "id INTEGER PRIMARY")
    for kind in (" TEXT", " REAL", " BLOB"):
        sql = sql.replace(kind, " ANY")
    database.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (sql, table))
    database.execute("PRAGMA writable_schema = RESET")


# -- what is saved ----------------------------------------------------------------------------------------------------


def test_of_a_stream_that_is_not_whole_only_what_cannot_be_read_again_is_carried_over(state: Path) -> None:
    with Shelf(state) as shelf:
        here, gone = position(1, b"here.log", 5), position(1, b"gone.log", 6)
        gone.gone_since = 1_700_000_100.0
        for file in (here, gone):
            file.account(0, 100)
        spans = [
            span(1, [b"pipe one", b"pipe two"], offset=10),
            span(2, [b"of here"], file=here),
            span(3, [b"of gone"], file=gone),
            span(4, [b"damaged"], offset=12),
            span(5, [b"pipe three"], offset=13),
        ]
        shelf.commit(files=[here, gone])
        shelf.insert(*spans, sequence=14)
        shelf.deliver(spans[0], 0)
    with rows(state) as database:
        database.execute("DELETE FROM chunk WHERE id & 255 = 4")

    with Shelf(state) as shelf:
        assert shelf.store.state().state_lost == 1
        assert waiting(shelf.everything()) == [b"pipe two", b"of gone", b"pipe three"]
        assert [(file.name, file.position) for file in shelf.state.files] == [(b"gone.log", 100)]
        counts = shelf.state.counts
        assert (counts["read"], counts["pending"], counts["delivered"]) == (3, 3, 0)
        assert shelf.state.sequence >= 14
        assert shelf.store.law() == []
        assert shelf.state.backlog_bytes == sum(one.left_bytes() for one in shelf.everything())
        assert shelf.store.recovery is not None
        assert shelf.store.recovery.records == 3
        shelf.commit(losses=[loss(1)])


def test_records_whose_file_nobody_knows_get_a_place_that_no_other_record_has(state: Path) -> None:
    with Shelf(state) as shelf:
        files = [position(1, b"a.log", 5), position(1, b"b.log", 6)]
        shelf.commit(files=files)
        shelf.insert(*(span(number, [b"of %d" % number], file=file) for number, file in enumerate(files, 1)))
    with rows(state) as database:
        database.execute("UPDATE file SET inode = inode + 1")

    with Shelf(state) as shelf:
        found = shelf.everything()
        assert waiting(found) == [b"of 1", b"of 2"]
        assert [one.place(0) for one in found] == [-1, -2]
        assert (shelf.state.counts["replayed"], list(shelf.state.files)) == (2, [])


def test_what_was_set_aside_of_a_pipe_is_still_there(life: Life, tmp_path: Path) -> None:
    was = life.leave(tmp_path / "left")
    with rows(was.path) as database:
        kept = database.execute("SELECT count(*) FROM quarantine").fetchone()[0]
        database.execute("UPDATE stream SET delivered = delivered + 4")
    assert kept
    found = find(was.path)
    assert sum(one.counts["quarantined.malformed"] for one in found.states.values()) == kept
    with rows(was.path) as database:
        assert database.execute("SELECT count(*) FROM quarantine").fetchone()[0] == kept


def test_every_loss_of_a_state_is_counted_and_the_last_few_are_kept(life: Life, tmp_path: Path) -> None:
    was = life.leave(tmp_path / "left")
    for times in range(1, MOST_ASIDE + 3):
        with rows(was.path) as database:
            database.execute("UPDATE stream SET delivered = delivered + 1 WHERE name = 'pipe'")
        found = find(was.path)
        assert found.lost == times
        assert len(asides(was.path)) == min(times, MOST_ASIDE)
        assert found.waiting == was.waiting, "the records of the pipe, and a folder that is whole"


# -- a crash while it is replaced -------------------------------------------------------------------------------------


class Crash(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("step", range(1, 12))
def test_a_crash_in_any_step_of_the_replacement_leaves_the_one_state_or_the_other(
    life: Life, tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    was = life.leave(tmp_path / "left")
    with rows(was.path) as database:
        database.execute("UPDATE stream SET delivered = delivered + 4 WHERE name = 'pipe'")
    (was.path / f"{DATABASE}-wal").write_bytes(b"")
    steps = 0

    def counted(real: Any) -> Any:
        def call(*arguments: Any, **more: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == step:
                raise Crash
            return real(*arguments, **more)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", counted(Path.rename))
        patch.setattr(os, "fsync", counted(os.fsync))
        try:
            find(was.path)
        except Crash:
            pass
        else:
            assert steps < step, "all steps are tried"
    found = find(was.path)
    assert (found.lost, found.law, found.waiting) == (1, [], was.waiting)
    assert found.epoch != was.epoch
    assert len(asides(was.path)) == 1
    assert not [file for file in was.path.iterdir() if file.suffix in {".building", ".next", ".look"}]


# -- a store of before there were checksums ---------------------------------------------------------------------------


def test_an_older_store_opens_as_it_is_and_has_checksums_from_then_on(life: Life, tmp_path: Path) -> None:
    life.end_run()
    was = life.leave(tmp_path / "left")
    (was.path / WITNESS).unlink()
    with rows(was.path) as database:
        for table in SEALED:
            database.execute(f"ALTER TABLE {table} DROP COLUMN crc")
        database.execute("ALTER TABLE store DROP COLUMN writes")
    found = find(was.path)
    assert (list(judge(was, found)), found.epoch, found.lost) == ([], was.epoch, 0)
    with rows(was.path) as database:
        database.execute("UPDATE stream SET delivered = delivered + 4")
    assert find(was.path).lost == 1


def test_a_state_whose_making_was_cut_off_is_made_anew_and_nothing_was_lost(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise Crash

    for where in ("weir.store.seals.seal", "weir.store.witness.Witness.begin"):
        with monkeypatch.context() as patch:
            patch.setattr(where, crash)
            directory = own(state, wait_seconds=0)
            with pytest.raises(Crash):
                Store(directory, time.time)
            directory.close()
    with Shelf(state) as shelf:
        assert shelf.store.state().state_lost == 0
        assert not asides(state)
