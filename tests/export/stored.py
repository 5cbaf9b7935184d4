"""Stores with records in them, as a run leaves them, and `farm export` over them in this process."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from farm.cli.main import main
from farm.model.record import ITEM_KEYS, Batch, Record
from farm.sinks.address import parse_sink, store_of
from tests.sinks.killed import record

LINKS = [
    {"url": "https://x.example/ü", "text": "=a,\n", "rel": "next"},
    {"url": "https://y.example/", "text": "", "rel": ""},
]


def page(number: int, *, items: Iterable[dict[str, Any]] | None = None, **fields: Any) -> Record:
    """Return a record with what makes a format stumble, and its items."""
    said: dict[str, Any] = {
        "status": 200,
        "title": f'a "{number}",\r\né',
        "lang": "",
        "canonical": None,
        "settled": True,
        "links": LINKS,
        "meta": {"k": [1, None]},
    }
    one = record(number, **(said | fields))
    made = None
    if items is not None:
        about = (one.id, one.url, "product", one.fields["fetched_at"])
        made = tuple(
            {**dict(zip(ITEM_KEYS, (f"{one.id}-{n}", *about), strict=True)), **item}
            for n, item in enumerate(items, 1)
        )
    return Record(one.id, one.url, one.fields, items=made)


def fill(folder: Path, sink: str, *records: Record, node: str = "n1", close: bool = True) -> Path:
    """Write the records to a sink of an output folder; return the folder."""
    folder.mkdir(exist_ok=True)
    store = store_of(parse_sink(sink), folder, folder / ".farm", node)
    store.open()
    for one in records:
        store.write([store.encode(Batch([one]))[0]])
    if close:
        store.close()
    return folder


class Exported:
    """The result of `farm export`."""

    def __init__(self, capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> None:
        capfd.readouterr()
        self.code = main(["export", *map(str, arguments)])
        self.out, self.err = capfd.readouterr()

    @property
    def records(self) -> list[dict[str, Any]]:
        """The lines on standard output."""
        assert self.code == 0, self.err
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def sentence(self) -> str:
        """The one line that a refused export ends with."""
        assert self.code != 0
        assert self.out == ""
        assert self.err.count("\n") == 1, self.err
        return self.err.removeprefix("farm: ").rstrip("\n")
