"""Record ids: the same after a crash, never the same for two records."""

from __future__ import annotations

from weir.core.positions import FilePosition
from weir.core.record import file_record_id, pipe_record_id


def file(inode: int = 7, birth: int = 9, generation: int = 0) -> FilePosition:
    return FilePosition(stream=1, name=b"a.log", inode=inode, birth=birth, generation=generation)


def test_the_same_record_has_the_same_id_under_another_name_and_row() -> None:
    again = FilePosition(stream=5, name=b"a.log.1", inode=7, birth=9, number=12)
    assert file_record_id("t", "s", file(), 40, b"x") == file_record_id("t", "s", again, 40, b"x")


def test_whatever_differs_makes_another_id() -> None:
    ids = {
        file_record_id("t", "s", file(), 40, b"x"),
        file_record_id("t2", "s", file(), 40, b"x"),
        file_record_id("t", "s2", file(), 40, b"x"),
        file_record_id("t", "s", file(inode=8), 40, b"x"),
        file_record_id("t", "s", file(birth=10), 40, b"x"),
        file_record_id("t", "s", file(generation=1), 40, b"x"),
        file_record_id("t", "s", file(), 41, b"x"),
        file_record_id("t", "s", file(), 40, b"y"),
        pipe_record_id("t", "s", "epoch", 40),
        pipe_record_id("t", "s", "epoch", 41),
        pipe_record_id("t", "s", "other", 40),
    }
    assert len(ids) == 11
    assert {len(one) for one in ids} == {16}


def test_parts_do_not_run_into_one_another() -> None:
    assert pipe_record_id("ab", "c", "e", 1) != pipe_record_id("a", "bc", "e", 1)
