"""What commits cost the flash: a log that is used again and again, and every byte of it counted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.contract.shelf import Shelf, span
from weir.store.log import BLOCK_BYTES, MOST_BYTES


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def log_bytes(state: Path) -> int:
    return (state / "weir.db-wal").stat().st_size


def test_commits_of_counters_alone_use_the_log_again_and_do_not_make_it_grow(state: Path) -> None:
    with Shelf(state) as shelf:
        for _ in range(100):
            shelf.count(read=1, delivered=1)
            shelf.commit()
        size = log_bytes(state)
        for _ in range(100):
            shelf.count(read=1, delivered=1)
            shelf.commit()
        assert log_bytes(state) == size < MOST_BYTES / 4
        assert shelf.reopen().counts["delivered"] == 200


def test_a_log_that_grew_ahead_is_read_as_far_as_it_was_written(state: Path) -> None:
    for count in (1, 4, 9):
        with Shelf(state) as shelf:
            for _ in range(count):
                shelf.count(read=1, delivered=1)
                shelf.commit()
            after_a_kill = {name: (state / name).read_bytes() for name in ("weir.db", "weir.db-wal")}
            counts = dict(shelf.counts)
        for name, content in after_a_kill.items():
            (state / name).write_bytes(content)
        with Shelf(state) as shelf:
            assert shelf.counts == counts


def test_a_large_log_is_folded_in_and_used_again(state: Path) -> None:
    with Shelf(state) as shelf:
        for seq in range(1, 101):
            shelf.insert(span(seq, [os.urandom(500)] * 100))
        assert log_bytes(state) < 2 * MOST_BYTES
        assert (state / "weir.db").stat().st_size > 2 * MOST_BYTES


def test_bytes_written_are_counted_in_blocks_and_survive(state: Path) -> None:
    with Shelf(state) as shelf:
        commits = 150
        for _ in range(commits):
            shelf.count(read=1, delivered=1)
            shelf.commit()
        shelf.store.commit([], end_of_run=True)
        written = shelf.store.bytes_written
        assert commits * BLOCK_BYTES <= written <= 3 * commits * BLOCK_BYTES
        shelf.reopen()
        assert shelf.store.bytes_written == written


def test_bytes_written_are_what_the_records_take_in_the_log_and_in_the_database(state: Path) -> None:
    with Shelf(state) as shelf:
        payload = 0
        for seq in range(1, 101):
            records = [os.urandom(200)] * 250
            payload += 250 * 200
            shelf.insert(span(seq, records))
        shelf.store.commit([], end_of_run=True)
        assert 2 * payload <= shelf.store.bytes_written <= 2.5 * payload
