"""What may be written after `--sink`, and what is shown and kept of it."""

import re
import sys
from pathlib import Path

import pytest

from farm.app.preflight import preflight
from farm.model.errors import UsageError
from farm.model.secret import SecretUrl
from farm.resources.installation import install_command
from farm.settings.commands import RunSettings
from farm.settings.load import load
from farm.sinks import address
from farm.sinks.address import DEFAULT, SinkAddress, check_sinks, parse_sink, store_of


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of its own."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("text", ["jsonl", "jsonl:", " jsonl: "])
def test_without_a_file_records_go_to_the_output_folder(text: str) -> None:
    """As they do without the option."""
    assert parse_sink(text) == DEFAULT
    assert str(DEFAULT) == "jsonl:"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("jsonl:out.jsonl", "out.jsonl"),
        ("jsonl:/data/a:b.jsonl", "/data/a:b.jsonl"),
        ("jsonl:out.jsonl.gz?rotate=100MiB", "out.jsonl.gz"),
        ("csv:out.csv?formulas=escape&rotate=1GiB", "out.csv"),
        ("sqlite:///shop.db", "shop.db"),
        ("sqlite:///./deep/shop.db", "deep/shop.db"),
        ("sqlite:////data/shop.db", "/data/shop.db"),
    ],
)
def test_a_path_is_that_of_the_current_folder_wherever_it_is_used_later(
    tmp_path: Path, text: str, path: str
) -> None:
    """What is shown and kept of it leads to the same place from any folder."""
    address = parse_sink(text)
    assert address.path == tmp_path / path
    assert parse_sink(str(address)) == address
    assert not address.is_secret


@pytest.mark.parametrize(
    ("text", "remote"),
    [
        ("jsonl:s3://bucket/a/b/", "s3://bucket/a/b"),
        ("parquet:s3a://bucket?endpoint_url=http://10.0.0.1:9000&profile=my one", "s3://bucket"),
        ("warc:s3://bucket/x?region=eu-central-1", "s3://bucket/x"),
        ("parquet:gs://bucket/x", "gs://bucket/x"),
        (
            "parquet:abfs://container@account.dfs.core.windows.net/x",
            "abfs://container@account.dfs.core.windows.net/x",
        ),
    ],
)
def test_an_object_store_is_a_url(text: str, remote: str) -> None:
    """What is shown and kept of it is all of it."""
    address = parse_sink(text)
    assert (address.remote, address.path) == (remote, None)
    assert parse_sink(str(address)) == address
    assert not address.is_secret


@pytest.mark.parametrize(
    "rest",
    [
        *(
            "s3://",
            "s3:///x",
            "s3://b/x?rotate=1MiB",
            "s3://b/x?endpoint_url=minio:9000",
            "gs://b/x?region=eu",
        ),
        *("s3://b/*", "s3://b/a b", "s3://b/x?endpoint_url=http://u:hunter2@h/", "s3://b/x?profile"),
    ],
)
def test_what_is_no_object_store_is_refused(rest: str) -> None:
    """With what may be written."""
    with pytest.raises(ValueError, match="write jsonl:s3://BUCKET/PREFIX"):
        parse_sink(f"jsonl:{rest}")


@pytest.mark.parametrize("keys", ["AKIA:hunter2", "AKIA:hun/ter2"])
def test_keys_do_not_belong_into_an_address(keys: str) -> None:
    """And are not shown where they stand there."""
    with pytest.raises(
        UsageError, match=r"^--sink: write .* credentials by AWS_ACCESS_KEY_ID and AWS_"
    ) as caught:
        load(RunSettings, ["--sink", f"jsonl:s3://{keys}@bucket/x"], "farm run", "")
    assert "hun" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        *("", "json", "jsonl//x", "sqlite:x.db", "sqlite://x.db", "sqlite:///", "sqlite:///x/", "jsonl:\0"),
        *(
            "jsonl:x?",
            "jsonl:x?rotate=0MiB",
            "jsonl:x?rotate=5",
            "jsonl:x?formulas=escape",
            "csv:x?formulas=no",
        ),
        "stdout:x",
    ],
)
def test_what_is_no_sink_is_refused_with_what_may_be_written(text: str) -> None:
    """In one sentence of the command."""
    with pytest.raises(ValueError, match=r"write |NUL"):
        parse_sink(text)
    with pytest.raises(UsageError, match=r"^--sink .*: .+\.$"):
        load(RunSettings, ["--sink", text], "farm run", "")


def test_several_are_given_by_flags_the_environment_and_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list, lines, and repeated flags."""
    wanted = (DEFAULT, parse_sink("sqlite:///a.db"))
    assert load(RunSettings, ["--sink", "jsonl:", "--sink", "sqlite:///a.db"], "", "").sink == wanted
    monkeypatch.setenv("FARM_SINK", "jsonl:\nsqlite:///a.db")
    assert load(RunSettings, [], "", "").sink == wanted
    monkeypatch.delenv("FARM_SINK")
    (tmp_path / "farm.toml").write_text('sink = ["jsonl", "sqlite:///a.db"]\n')
    assert load(RunSettings, [], "", "").sink == wanted
    (tmp_path / "farm.toml").unlink()
    assert load(RunSettings, [], "", "").sink == (DEFAULT,)


@pytest.mark.parametrize(
    ("text", "store", "items"),
    [
        ("jsonl", "LogWithItems", "/out/items.jsonl"),
        ("jsonl:/shop.jsonl.gz", "LogWithItems", "/shop-items.jsonl.gz"),
        ("csv", "LogWithItems", "/out/items.csv"),
        ("sqlite:////shop.db", "SqliteStore", "the table items of sqlite:////shop.db"),
        ("postgresql://me:secret@h/shop", "PostgresStore", "the table items of postgresql://h/shop"),
        ("parquet:/parts", "SegmentStore", "the folder items of parquet:/parts"),
        ("jsonl:s3://bucket/shop", "SegmentStore", "the folder items of jsonl:s3://bucket/shop"),
        ("warc:/warcs", "SegmentStore", ""),
        ("stdout:", "StandardOutput", "stdout:"),
    ],
)
def test_each_kind_has_its_store_which_says_where_items_are(text: str, store: str, items: str) -> None:
    """Before it is opened, and without credentials."""
    made = store_of(parse_sink(text), Path("/out"), Path("/out/.farm"))
    assert (type(made).__name__, made.item_place) == (store, items)


def test_a_server_of_another_kind_is_not_taken_for_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is its package wanted, nor are its records written elsewhere."""
    other = SinkAddress("redis", url=SecretUrl("redis://h/0"))
    monkeypatch.setitem(sys.modules, "farm.sinks.postgres", None)
    check_sinks([other])
    with pytest.raises(AssertionError, match="no store of the kind 'redis'"):
        store_of(other, Path("/out"), Path("/out/.farm"))


def test_one_place_is_given_once() -> None:
    """Two writers would write it twice."""
    check_sinks([DEFAULT, SinkAddress("jsonl", Path("/x"))])
    with pytest.raises(UsageError, match=r"--sink jsonl:s3://b/x.* is given twice; leave one out"):
        check_sinks([parse_sink("jsonl:s3://b/x"), parse_sink("jsonl:s3://b/x/?region=a")])
    with pytest.raises(UsageError, match="--sink sqlite:////x is given twice; leave one out"):
        check_sinks([parse_sink("sqlite:////x"), DEFAULT, parse_sink("sqlite:////y/../x")])
    with pytest.raises(UsageError, match="twice"):
        preflight(RunSettings(urls=("http://a.example/",), sink=("jsonl", "jsonl:")))


def test_items_need_a_sink_that_has_a_place_for_them() -> None:
    """They would be made and lost without a word."""
    with pytest.raises(UsageError, match="cannot hold them; add --sink jsonl"):
        check_sinks([parse_sink("warc:w")], have_items=True)
    for other in ("sqlite:///items.db", "csv:a.csv", "postgresql://u@h/d", "parquet:p", "jsonl:s3://b/p"):
        check_sinks([parse_sink("warc:w"), parse_sink(other)], have_items=True)
    check_sinks([parse_sink("warc:w")])


def test_without_the_package_of_an_object_store_the_command_that_brings_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the format first, then of the store; where fsspec knows what a store needs it says so."""
    sink = parse_sink("parquet:s3://bucket/x")
    check_sinks([sink])
    with pytest.raises(
        UsageError, match=r"parquet:nope://b/x cannot be reached \(Protocol not known: nope\)"
    ):
        check_sinks([parse_sink("parquet:nope://b/x")])
    with pytest.raises(UsageError, match=r"cannot be reached \(.*gcsfs.*\)"):
        check_sinks([parse_sink("parquet:gs://b/x")])
    for name, package in (("s3", "s3fs"), ("://", "fsspec")):
        with monkeypatch.context() as patched:
            patched.setitem(address._PACKAGES, name, ("not_there", "s3"))
            with pytest.raises(
                UsageError, match=re.escape(f"not_there; install it with {install_command('s3')}.")
            ):
                check_sinks([sink])
        assert address._PACKAGES[name][0] == package
