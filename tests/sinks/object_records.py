"""Records in an S3, written and read."""

import gzip
import json
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from farm.model.record import Batch
from farm.sinks.address import parse_sink, store_of
from farm.sinks.segments import SegmentStore
from farm.sinks.store import Store
from farm.sinks.warc import WarcFormat
from tests.sinks.killed import record
from tests.sinks.object_server import BUCKET

KINDS = ("parquet", "jsonl", "warc")


def named(kind: str, endpoint: str, prefix: str, query: str = "") -> str:
    """Return a sink's name."""
    return f"{kind}:s3://{BUCKET}/{prefix}?endpoint_url={endpoint}{query}"


def made(folder: Path, name: str, node: str = "n1") -> SegmentStore:
    """Return a store of an output folder, not open yet."""
    store = store_of(parse_sink(name), folder, folder / ".farm", node)
    assert isinstance(store, SegmentStore)
    return store


def write(store: Store[Any], *numbers: int, **fields: Any) -> None:
    """Write records as one group."""
    store.write([store.encode(Batch([record(number, **fields)]))[0] for number in numbers])


def ids(objects: dict[str, bytes], tmp_path: Path) -> list[str]:
    """Return the ids in objects of any kind."""
    found: list[str] = []
    for name, content in objects.items():
        if name.endswith(".parquet"):
            found += pq.read_table(BytesIO(content), columns=["id"]).column(0).to_pylist()
        elif name.endswith(".jsonl.gz"):
            found += [json.loads(line)["id"] for line in gzip.decompress(content).splitlines()]
        else:
            (tmp_path / "one.warc.gz").write_bytes(content)
            found += [key.hex() for key in WarcFormat().ids(tmp_path / "one.warc.gz")]
    return found


def wanted(*numbers: int) -> Counter[str]:
    """Return the ids of records, each once."""
    return Counter(record(number).id for number in numbers)
