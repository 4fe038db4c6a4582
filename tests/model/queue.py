"""What a queue of each mode keeps, and in which order it gives that away: a model that shares nothing with Weir.

The queue is a list with its front at index 0, so what is left of it is what is sent, in this order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

DROP_MODES = (0, 1, 2, 3)
HOLD_MODES = (4, 5)
REASONS = ("queueFullBack", "queueFullBack", "queueFullFront", "queueFullFront")
OVERHEAD = 64  # a record counts with so many bytes more than it has


def kept(mode: int, records: Iterable[bytes], max_records: int | None, max_bytes: int | None = None) -> list[bytes]:
    """Give what is left of records that arrived one by one while nothing left the queue."""
    queue: list[bytes] = []
    for record in records:
        while _is_full(queue, record, max_records, max_bytes):
            del queue[0 if mode in {2, 3} else -1]
        queue.insert(0 if mode in {1, 2, 5} else len(queue), record)
    return queue


def _is_full(queue: Sequence[bytes], record: bytes, max_records: int | None, max_bytes: int | None) -> bool:
    size = sum(len(one) + OVERHEAD for one in (*queue, record))
    return (max_records is not None and len(queue) >= max_records) or (max_bytes is not None and size > max_bytes)


def comes_from_a_stack(arrived: Sequence[bytes], records: Sequence[bytes], depth: int) -> bool:
    """Tell whether these are the records, each once, the newest that waited always first, never more than so many.

    A record that arrives is newer than all before it, and then everything up to it had been read; or nothing newer is
    left of what had been read.
    """
    waiting: list[bytes] = []
    unread = iter(records)
    for record in arrived:
        if record not in waiting:
            for newer in unread:
                waiting.append(newer)
                if newer == record:
                    break
        if not waiting or len(waiting) > depth or waiting.pop() != record:
            return False
    return not waiting and next(unread, None) is None
