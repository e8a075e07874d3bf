"""One Parquet file as a log: recorded raw payloads, or rows that become JSON objects."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from sources.reader import SourceError
from sources.unpacking import too_short

PAYLOAD_COLUMNS = ("value", "payload")
ARRIVAL_COLUMN = "timestamp"


class TableLog:
    """Reads the rows of one file, a slice at a time. Positions are row numbers from 0."""

    def __init__(self, path: Path, start: int = 0) -> None:
        self._path = path
        self._slices: Iterator[pl.DataFrame] | None = None
        self._payload: str | None = None
        self._arrival = False
        self._ahead = pl.DataFrame()
        self.position = start
        self.finished = False

    def read(self, limit: int) -> tuple[list[bytes], Sequence[int], Sequence[int] | None]:
        """At most ``limit`` records, their positions, and their arrivals where the file keeps them."""
        if self._ahead.is_empty():
            self._ahead = self._next_slice(limit)
        table, self._ahead = self._ahead.head(limit), self._ahead.slice(limit)
        if table.is_empty():
            self.finished = True
            return [], [], None
        first, self.position = self.position, self.position + table.height
        if self._payload is None:
            return _objects(table), range(first, self.position), None
        table = table.with_row_index("row", offset=first).drop_nulls(self._payload)
        arrivals = self._arrivals_of(table) if self._arrival else None
        return table[self._payload].to_list(), table["row"].to_list(), arrivals

    def close(self) -> None:
        """Lets go of what was read ahead."""
        self._slices = None
        self._ahead = pl.DataFrame()

    def _next_slice(self, limit: int) -> pl.DataFrame:
        try:
            if self._slices is None:
                self._slices = self._open(limit)
            return next(self._slices, pl.DataFrame())
        except (pl.exceptions.PolarsError, OSError) as error:
            reason = str(error).partition("\n")[0]
            raise SourceError(
                f"cannot be read as Parquet: {reason}", str(self._path), "write or copy it again"
            ) from error

    def _open(self, limit: int) -> Iterator[pl.DataFrame]:
        scan = pl.scan_parquet(self._path, glob=False)
        if self.position and scan.select(pl.len()).collect().item() < self.position:
            raise too_short(self._path, self.position)
        schema = scan.collect_schema()
        self._payload = next((name for name in PAYLOAD_COLUMNS if _is_raw(schema.get(name))), None)
        if self._payload is not None:
            columns = [pl.col(self._payload).cast(pl.Binary)]
            if ARRIVAL_COLUMN in schema:
                self._arrival = True
                columns.append(self._arrival_column(schema[ARRIVAL_COLUMN]))
            scan = scan.select(columns)
        else:
            scan = scan.with_columns(_zoned_to_epoch(schema))
        return iter(scan.slice(self.position).collect_batches(chunk_size=limit, maintain_order=True))

    def _arrivals_of(self, table: pl.DataFrame) -> list[int]:
        missing = table.filter(pl.col(ARRIVAL_COLUMN).is_null())["row"]
        if not missing.is_empty():
            raise SourceError(
                f"row {missing[0]} has no {ARRIVAL_COLUMN}",
                str(self._path),
                "give every row one, or leave the column out",
            )
        return table[ARRIVAL_COLUMN].to_list()

    def _arrival_column(self, kind: pl.DataType) -> pl.Expr:
        column = pl.col(ARRIVAL_COLUMN)
        if kind.is_integer():
            return column.cast(pl.Int64)
        if isinstance(kind, pl.Datetime) and kind.time_zone:
            return column.dt.epoch("ms")
        raise SourceError(
            f"the column {ARRIVAL_COLUMN} is {kind}",
            str(self._path),
            "write arrivals as epoch milliseconds or as a timestamp with a time zone",
        )


def _is_raw(kind: pl.DataType | None) -> bool:
    return kind in (pl.Binary, pl.String)


def _zoned_to_epoch(schema: pl.Schema) -> list[pl.Expr]:
    """Moments become epoch milliseconds. Those without a zone stay texts: guessing one could move them by a day."""
    return [
        pl.col(name).dt.epoch("ms") for name, kind in schema.items() if isinstance(kind, pl.Datetime) and kind.time_zone
    ]


def _objects(table: pl.DataFrame) -> list[bytes]:
    names = table.columns
    return [orjson.dumps(_filled(dict(zip(names, row, strict=True))), default=_plain) for row in table.iter_rows()]


def _filled(value: Any) -> Any:
    """The value without the nulls of its structs: a table has every column in every row, an event only its own."""
    if isinstance(value, dict):
        return {name: _filled(part) for name, part in value.items() if not _is_null(part)}
    if isinstance(value, list):
        return [_filled(part) for part in value]
    return value


def _is_null(value: Any) -> bool:
    """Whether nothing stands in a column; writers also leave a missing struct as one whose parts are all null."""
    return value is None or (isinstance(value, dict) and all(map(_is_null, value.values())))


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return str(value)
