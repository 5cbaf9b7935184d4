"""Segments in the Parquet format: columns of the declared types, `json` ones as strings of JSON.

A record is a line of the log until then, its `json` columns as they will stand in the file. Only this module knows
pyarrow.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from farm.model.record import COLUMNS, ITEM_KEYS, Batch, ItemColumns
from farm.sinks.append_log import KeyOf
from farm.sinks.frames import LINES, Framing
from farm.sinks.item_values import FIELDS, typed_items
from farm.sinks.jsonl import line_key
from farm.sinks.log_index import KEY_BYTES
from farm.sinks.log_items import with_items, without_items
from farm.sinks.rows import rows_of

GROUP_ROWS = 10_000
GROUP_BYTES = 64 * 2**20
"""Bounds of a row group; whichever is reached first ends it."""
_SLICE_BYTES, _SLICE_ROWS = 4 * 2**20, 1_000
"""As much is Python objects at once."""
_TYPES: Mapping[str, pa.DataType] = {
    "text": pa.string(),
    "json": pa.string(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("ms", tz="UTC"),
}
_ITEM_TYPES: Mapping[str, pa.DataType] = {
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
}
NAMES = [column.name for column in COLUMNS]
SCHEMA = pa.schema(
    [pa.field(column.name, _TYPES[column.type], nullable=column.name != "id") for column in COLUMNS]
)
_REPEATED = [
    column.name
    for column in COLUMNS
    if column.name
    not in {"id", "url", "final_url", "title", "text", "html", "links", "metadata", "content_hash"}
]
"""Columns whose values repeat: a dictionary makes them small, and costs time for the others."""
_SHORT = [column.name for column in COLUMNS if column.name == "id" or column.type not in {"text", "json"}]
"""Columns whose least and greatest value help a reader to leave row groups out."""


class ParquetFormat:
    """Satisfies `SegmentFormat`."""

    suffix = ".parquet"
    most_rows = GROUP_ROWS
    most_bytes = GROUP_BYTES
    framing: Framing = LINES
    payloads = None

    def __init__(self, item_columns: ItemColumns | None = None) -> None:
        self._columns = item_columns

    @property
    def converter(self) -> "ParquetFormat":
        """What makes a segment of a log."""
        return self

    @property
    def key_of(self) -> KeyOf:
        """What returns the id in a line of the log, as bytes."""
        return line_key

    def encode(self, batch: Batch) -> Sequence[tuple[bytes, bytes]]:
        """Return a line a record: an object with every column."""
        rows, _ = rows_of(batch)
        return [
            (
                bytes.fromhex(str(row[0])),
                with_items(
                    orjson.dumps(dict(zip(NAMES, row, strict=True))) + b"\n",
                    typed_items(record.items, self._columns),
                ),
            )
            for row, record in zip(rows, batch.records, strict=True)
        ]

    def convert(self, log: Path, draft: BinaryIO) -> None:
        """Write the lines of a log as a file of row groups."""
        with log.open("rb") as lines:
            write_rows((orjson.loads(without_items(line)[0]) for line in lines), draft)

    def convert_items(self, items: Iterable[Mapping[str, Any]], draft: BinaryIO) -> None:
        """Write the items as a file of row groups, a column a declared field. Raises OSError."""
        columns = {FIELDS: "json"} if self._columns is None else self._columns
        fields = [pa.field(name, pa.string(), nullable=name != "_id") for name in ITEM_KEYS[:-1]]
        fields.append(pa.field(ITEM_KEYS[-1], _TYPES["timestamp"]))
        fields += [pa.field(name, _ITEM_TYPES.get(kind, pa.string())) for name, kind in columns.items()]
        _write(items, draft, pa.schema(fields), ["_page_id", "_url", "_kind"], ["_id"])

    def preamble(self, segment: str) -> bytes:  # noqa: ARG002
        """Return nothing: a log has records alone."""
        return b""

    def ids(self, segment: Path) -> Iterable[bytes]:
        """Return the ids of a file. Raises ValueError if it has none."""
        with pq.ParquetFile(segment) as file:
            if "id" not in file.schema_arrow.names:
                raise ValueError("it has no column id")
            for batch in file.iter_batches(columns=["id"]):
                for value in batch.column(0).to_pylist():
                    key = bytes.fromhex(str(value))
                    if len(key) != KEY_BYTES:
                        raise ValueError("its ids are others")
                    yield key


def write_rows(rows: Iterable[Mapping[str, Any]], draft: BinaryIO, names: Sequence[str] = NAMES) -> None:
    """Write rows, whose `json` columns are strings, as row groups in the order in which they come.

    As much as one row group is in memory at once. Raises OSError.
    """
    _write(
        rows,
        draft,
        pa.schema([SCHEMA.field(name) for name in names]),
        [name for name in _REPEATED if name in names],
        [name for name in _SHORT if name in names],
    )


def _write(
    rows: Iterable[Mapping[str, Any]], draft: BinaryIO, schema: Any, repeated: list[str], short: list[str]
) -> None:
    with pq.ParquetWriter(
        draft, schema, compression="zstd", use_dictionary=repeated, write_statistics=short
    ) as writer:
        for group in _groups(_batches(rows, schema)):
            writer.write_table(pa.Table.from_batches(group), row_group_size=GROUP_ROWS)
    pa.default_memory_pool().release_unused()


def _batches(rows: Iterable[Mapping[str, Any]], schema: Any) -> Iterator[Any]:
    """Yield Arrow batches of about `_SLICE_BYTES`, so that little is there as Python objects too."""
    part: list[Mapping[str, Any]] = []
    size = 0
    for row in rows:
        part.append(row)
        size += sum(len(value) for value in row.values() if isinstance(value, str))
        if size >= _SLICE_BYTES or len(part) == _SLICE_ROWS:
            yield _batch(part, schema)
            part, size = [], 0
    if part:
        yield _batch(part, schema)


def _batch(rows: Sequence[Mapping[str, Any]], schema: Any) -> Any:
    columns = []
    for field in schema:
        values = [row.get(field.name) for row in rows]
        is_moment = pa.types.is_timestamp(field.type)
        columns.append(pa.array(values, pa.string() if is_moment else field.type).cast(field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _groups(batches: Iterable[Any]) -> Iterator[list[Any]]:
    """Yield the batches of each row group."""
    group: list[Any] = []
    rows = size = 0
    for batch in batches:
        if group and rows + batch.num_rows > GROUP_ROWS:
            yield group
            group, rows, size = [], 0, 0
        group.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if size >= GROUP_BYTES:
            yield group
            group, rows, size = [], 0, 0
    if group:
        yield group
