"""Cells at rest, packed one behind the other into pages of memory.

A dict of bytes by key takes some 200 bytes for each entry besides what it holds: two objects, rounded up, and a place
in the table. Here it is 16 to 30.
"""

from array import array
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from struct import Struct as Layout
from typing import Final

from xxhash import xxh3_64_intdigest

_WAKE_BYTES: Final = 8
_HEAD: Final = Layout("<HI")  # lengths of key and cell
_HEAD_BYTES: Final = _HEAD.size
_UNIT: Final = 8  # bytes; where a cell lies is counted in units
_PAGE_BITS: Final = 13
_PAGE: Final = 1 << _PAGE_BITS  # units: a block of its own each, as one that grew for ever would be copied for ever
_IN_PAGE: Final = _PAGE - 1
_LOW: Final = 0xFFFF_FFFF
_GONE: Final = _LOW  # no mark has its upper half
_SMALLEST: Final = 16
_LOOSE: Final = 8_192  # units that may lie idle however little there is

Mark = int
"""What a key is looked for by: 32 bits of its digest, the uppermost of which is set."""


def mark_of(key: bytes) -> Mark:
    """The mark of a key; two keys may share one."""
    return xxh3_64_intdigest(key) >> 32 | 0x8000_0000


def packed_wake(wake: int, content: bytes) -> bytes:
    """A cell: when it is to be woken stands in front, so that this is known without decoding the rest."""
    return wake.to_bytes(_WAKE_BYTES, "big") + content


def wake_of(cell: bytes | bytearray) -> int:
    """When a cell is to be woken; 0 for never."""
    return int.from_bytes(cell[:_WAKE_BYTES], "big")


def content_of(cell: bytes | bytearray) -> memoryview:
    """What a cell holds besides."""
    return memoryview(cell)[_WAKE_BYTES:]


class Resting:
    """Key -> cell, for keys in UTF-8. A cell begins with the moment at which it is to be woken, 0 for never.

    The table is open addressing with linear probing: an entry is a key's mark and where its cell lies, 0 where there
    was never one. What a cell leaves free is taken by the next of the same size. A cell longer than a page has a longer
    page of its own.
    """

    def __init__(self) -> None:
        self._table = array("Q", bytes(8 * _SMALLEST))
        self._pages = [bytearray()]
        self._free: dict[int, list[int]] = {}
        self._filled = 0  # units of the last page
        self._units = 0  # of all pages
        self._idle = 0  # of these
        self._used = 0  # entries of the table that are not 0
        self._count = 0
        self._loose: dict[str, bytes] = {}

    def __len__(self) -> int:
        return self._count + len(self._loose)

    @property
    def size(self) -> int:
        """Bytes that it takes, besides the list of what is free."""
        return 8 * len(self._table) + _UNIT * self._units

    def put(self, key: str, cell: bytes) -> Mark:
        """Lay a cell down; its key must have none."""
        if 3 * self._used >= 2 * len(self._table):
            self._rebuild()
        encoded = key.encode()
        mark = mark_of(encoded)
        table, mask = self._table, len(self._table) - 1
        place = mark & mask
        while (entry := table[place]) and entry != _GONE:
            place = (place + 1) & mask
        if not entry:
            self._used += 1
        table[place] = mark << 32 | self._lay(_HEAD.pack(len(encoded), len(cell)) + encoded + cell)
        self._count += 1
        return mark

    def adopt(self, cells: Mapping[str, bytes]) -> None:
        """Take over the cells of a snapshot, while there are none here. A start need not wait for them to be packed:
        that is what ``settle`` is for.
        """
        self._loose = dict(cells)

    def settle(self, most: int, file: Callable[[int, Mark], None]) -> None:
        """Pack some of the cells of the snapshot; ``file`` is told wake and mark of those that are to be woken."""
        loose = self._loose
        for key in list(islice(loose, most)):
            cell = loose.pop(key)
            mark = self.put(key, cell)
            if wake := wake_of(cell):
                file(wake, mark)

    def loose_due(self, first: int, end: int) -> Iterator[tuple[int, str]]:
        """Wake and key of the cells not packed yet that are to be woken in ``[first, end)``."""
        for key, cell in self._loose.items():
            if first <= (wake := wake_of(cell)) < end:
                yield wake, key

    def pop_loose(self, key: str) -> bytes | None:
        """Take up a cell that is not packed yet, and so not filed."""
        return self._loose.pop(key, None) if self._loose else None

    def pop(self, key: str) -> bytearray | None:
        """Take up a cell that is packed."""
        encoded = key.encode()
        mark = mark_of(encoded)
        table, mask = self._table, len(self._table) - 1
        place = mark & mask
        while entry := table[place]:
            if entry >> 32 == mark:
                unit = entry & _LOW
                page, start = self._pages[unit >> _PAGE_BITS], (unit & _IN_PAGE) * _UNIT
                key_length, length = _HEAD.unpack_from(page, start)
                begin = start + _HEAD_BYTES
                if key_length == len(encoded) and page.startswith(encoded, begin):
                    begin += key_length
                    cell = page[begin : begin + length]
                    self._leave(place, unit, _HEAD_BYTES + key_length + length)
                    return cell
            place = (place + 1) & mask
        return None

    def _leave(self, place: int, unit: int, size: int) -> None:
        """An entry of the table is no more, and what lay there is free."""
        table = self._table
        if table[(place + 1) & (len(table) - 1)]:
            table[place] = _GONE
        else:
            table[place] = 0
            self._used -= 1
        self._count -= 1
        units = _units(size)
        free = self._free.get(units)
        if free is None:
            free = self._free[units] = []
        free.append(unit)
        self._idle += units
        if self._idle > _LOOSE and 2 * self._idle > self._units:
            self._lay_anew()

    def due(self, mark: Mark, wake: int) -> Iterator[str]:
        """The keys of a mark whose cell is packed and to be woken at ``wake``."""
        table, mask = self._table, len(self._table) - 1
        wanted = wake.to_bytes(_WAKE_BYTES, "big")
        place = mark & mask
        while entry := table[place]:
            if entry >> 32 == mark:
                page, start = self._pages[(entry & _LOW) >> _PAGE_BITS], (entry & _IN_PAGE) * _UNIT
                key_length, _ = _HEAD.unpack_from(page, start)
                begin = start + _HEAD_BYTES + key_length
                if page[begin : begin + _WAKE_BYTES] == wanted:
                    yield page[start + _HEAD_BYTES : begin].decode()
            place = (place + 1) & mask

    def items(self) -> Iterator[tuple[str, bytes]]:
        """Key and cell of all."""
        yield from self._loose.items()
        for packed in self._packed():
            key_length, _ = _HEAD.unpack_from(packed)
            begin = _HEAD_BYTES + key_length
            yield packed[_HEAD_BYTES:begin].decode(), packed[begin:]

    def _packed(self) -> Iterator[bytes]:
        """All that lies there, each with its head."""
        pages = self._pages
        for entry in self._table:
            if entry and entry != _GONE:
                page, start = pages[(entry & _LOW) >> _PAGE_BITS], (entry & _IN_PAGE) * _UNIT
                key_length, length = _HEAD.unpack_from(page, start)
                yield bytes(page[start : start + _HEAD_BYTES + key_length + length])

    def _lay(self, packed: bytes) -> int:
        """Where the cell lies from now on, in units."""
        units = _units(len(packed))
        free = self._free.get(units)
        if free:
            unit = free.pop()
            self._idle -= units
            start = (unit & _IN_PAGE) * _UNIT
            self._pages[unit >> _PAGE_BITS][start : start + len(packed)] = packed
            return unit
        pages, filled = self._pages, self._filled
        if filled + units > _PAGE:
            # All of one size from the second on: blocks that grow leave gaps behind that nothing else fits into.
            pages.append(bytearray(_UNIT * max(_PAGE, units)))
            filled = 0
        unit = (len(pages) - 1) << _PAGE_BITS | filled
        start = filled * _UNIT
        pages[-1][start : start + len(packed)] = packed
        if len(pages) == 1:
            pages[-1].extend(bytes(start + units * _UNIT - len(pages[-1])))
        self._filled = filled + units
        self._units += units
        return unit

    def _rebuild(self) -> None:
        """A table of the right size, without the entries that are gone."""
        size = _SMALLEST
        while size < 2 * self._count + 2:
            size *= 2
        table, mask = array("Q", bytes(8 * size)), size - 1
        for entry in self._table:
            if entry and entry != _GONE:
                place = entry >> 32 & mask
                while table[place]:
                    place = (place + 1) & mask
                table[place] = entry
        self._table, self._used = table, self._count

    def _lay_anew(self) -> None:
        """Close the gaps."""
        packed = list(self._packed())
        self._pages, self._filled, self._units, self._idle = [bytearray()], 0, 0, 0
        self._free.clear()
        table, left = self._table, iter(packed)
        for place, entry in enumerate(table):
            if entry and entry != _GONE:
                table[place] = entry >> 32 << 32 | self._lay(next(left))


def _units(length: int) -> int:
    """Rounded up to pairs: a cell that has grown a little fits where it lay, or where another one did."""
    return (length + 2 * _UNIT - 1) // (2 * _UNIT) * 2
