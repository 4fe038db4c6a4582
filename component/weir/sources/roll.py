"""A roll call: what is kept by a number, and who was not called since the last one began.

Owns how that is kept small: beside the values themselves some thirty bytes an entry, where a dictionary of objects
needs a hundred and thirty, and knows nobody's absence. Knows nothing of files.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Final

_LEAST_CELLS: Final = 64
_LEAST_WASTE: Final = 65_536  # bytes
_PART_BYTES: Final = 65_536  # of the heap
_NOBODY: Final = -1
_FACTOR: Final = 0x9E3779B97F4A7C15  # odd, and its bits well mixed: numbers that follow each other come to lie apart
_ALL_BITS: Final = (1 << 64) - 1
_UNSEEN: Final = 0
_SEEN: Final = 1


class Roll:
    """A mapping from numbers of 64 bits to bytes, in no order, that notes who was seen.

    The entries lie densely in columns, and their values in one heap. A table of cells, at most half of them full, finds
    a number's place in the columns: the cell where a search begins follows from the number, and a search goes on from
    cell to cell until an empty one.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self._keys = array("Q")
        self._begins = array("Q")
        self._sizes = array("I")
        self._seen = bytearray()
        self._heap = bytearray()
        self._waste = 0  # bytes of the heap that belong to nobody any more
        self._free: dict[int, array[int]] = {}  # by size: where they are
        self._clear_cells(_LEAST_CELLS)

    def _clear_cells(self, count: int) -> None:
        self._cells = array("i", [_NOBODY]) * count
        self._mask = count - 1
        self._shift = 64 - self._mask.bit_length()

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: int) -> bool:
        return self._cells[self._cell(key)] >= 0

    def __iter__(self) -> Iterator[int]:
        return iter(self._keys)

    def get(self, key: int) -> bytes | None:
        place = self._cells[self._cell(key)]
        return None if place < 0 else self._value(place)

    def _value(self, place: int) -> bytes:
        begin = self._begins[place]
        return bytes(self._heap[begin : begin + self._sizes[place]])

    def put(self, key: int, value: bytes) -> None:
        """Keep a value and count it as seen."""
        cell = self._cell(key)
        place = self._cells[cell]
        if place < 0:
            self._cells[cell] = len(self._keys)
            self._keys.append(key)
            self._begins.append(self._store(value))
            self._sizes.append(len(value))
            self._seen.append(_SEEN)
            if 2 * len(self._keys) > len(self._cells):
                self._resize(2 * len(self._cells))
            return
        self._release(place)
        self._begins[place], self._sizes[place], self._seen[place] = self._store(value), len(value), _SEEN
        self._tidy()

    def _store(self, value: bytes) -> int:
        """Put a value on the heap; say where. One that comes back, as most do, takes no room of its own."""
        size = len(value)
        free = self._free.get(size)
        if not free:
            self._heap += value
            return len(self._heap) - size
        begin = free.pop()
        self._heap[begin : begin + size] = value
        self._waste -= size
        return begin

    def _release(self, place: int) -> None:
        self._free.setdefault(self._sizes[place], array("Q")).append(self._begins[place])
        self._waste += self._sizes[place]

    def confirm(self, key: int) -> bytes | None:
        """Count what is kept as seen, and give it."""
        place = self._cells[self._cell(key)]
        if place < 0:
            return None
        self._seen[place] = _SEEN
        return self._value(place)

    def pop(self, key: int) -> bytes | None:
        """Let go of a value, and give it."""
        cell = self._cell(key)
        place = self._cells[cell]
        if place < 0:
            return None
        value = self._value(place)
        self._release(place)
        self._empty(cell)
        last = len(self._keys) - 1
        if place != last:  # the last entry takes its place
            self._cells[self._cell(self._keys[last])] = place
        for column in (self._keys, self._begins, self._sizes, self._seen):
            column[place] = column[last]
            del column[last]
        self._tidy()
        if len(self._cells) > _LEAST_CELLS and 8 * len(self._keys) < len(self._cells):
            self._resize(len(self._cells) // 2)
        return value

    def _tidy(self) -> None:
        """Give back what belongs to nobody, once that is the larger part of the heap."""
        if self._waste < _LEAST_WASTE or 2 * self._waste < len(self._heap):
            return
        # In place: a second heap beside this one would need for a moment what is to be given back.
        end = 0
        for place in self._by_begin():
            begin, size = self._begins[place], self._sizes[place]
            self._heap[end : end + size] = self._heap[begin : begin + size]
            self._begins[place] = end
            end += size
        del self._heap[end:]
        self._waste = 0
        self._free.clear()

    def _by_begin(self) -> Iterator[int]:
        """Give the places in the order of their values on the heap, a part of it at a time: sorting all needs much."""
        parts: dict[int, array[int]] = {}
        for place, begin in enumerate(self._begins):
            parts.setdefault(begin // _PART_BYTES, array("I")).append(place)
        for part in sorted(parts):
            yield from sorted(parts.pop(part), key=self._begins.__getitem__)

    def missing(self) -> list[int]:
        """List who has not been seen since the last turn-over."""
        found = []
        place = self._seen.find(_UNSEEN)
        while place >= 0:
            found.append(self._keys[place])
            place = self._seen.find(_UNSEEN, place + 1)
        return found

    def forget_missing(self) -> None:
        """Begin a new roll call without those who were not seen in the last one."""
        for key in self.missing():
            self.pop(key)
        self.turn_over()

    def turn_over(self) -> None:
        """Begin a new roll call; nobody has been seen."""
        self._seen = bytearray(len(self._keys))

    # The cells

    def _cell(self, key: int) -> int:
        """Find the cell of a number, or the empty one where it would be."""
        cells, keys, mask = self._cells, self._keys, self._mask
        cell = (key * _FACTOR & _ALL_BITS) >> self._shift
        while (place := cells[cell]) >= 0 and keys[place] != key:
            cell = cell + 1 & mask
        return cell

    def _empty(self, hole: int) -> None:
        """Empty a cell; what lies behind it moves up, so that no search ends there too soon."""
        cells, mask = self._cells, self._mask
        cell = hole
        while (place := cells[cell := cell + 1 & mask]) >= 0:
            home = (self._keys[place] * _FACTOR & _ALL_BITS) >> self._shift
            if (cell - home & mask) >= (cell - hole & mask):  # its search passes the hole
                cells[hole] = place
                hole = cell
        cells[hole] = _NOBODY

    def _resize(self, count: int) -> None:
        self._clear_cells(count)
        for place, key in enumerate(self._keys):
            self._cells[self._cell(key)] = place
