"""Two versions of the farm at work on one crawl, as in a rolling update."""

import json
import re
import shutil
import signal
from collections import Counter
from pathlib import Path

import farm as package
from fixtures.shop import Shop
from tests.e2e.farm_process import Running, crawl, farm, seen_pages, start, until
from tests.e2e.redis_server import RedisServer

NEWER = "0.2.0"
LATER = "99.0.0"


def _copied(folder: Path, version: str, schema_step: int = 0) -> dict[str, str]:
    """Copy the farm as another version with transitions of its own; return the environment that runs it."""
    copy = folder / "farm"
    shutil.copytree(Path(package.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    _edit(copy / "__init__.py", r'__version__ = "[^"]+"', f'__version__ = "{version}"')
    _edit(copy / "frontier" / "crawl.py", r"SCHEMA = (\d+)", lambda m: f"SCHEMA = {int(m[1]) + schema_step}")
    # One statement more in each transition: none of them is the function that the other version has loaded.
    for script in (copy / "frontier" / "lua").glob("*.lua"):
        script.write_text(f"{script.read_text().rstrip()}\n", encoding="utf-8")
        _edit(script, r"\A((?:#!lua[^\n]*\n)?(?:--[^\n]*\n|\n)*)", r"\1local version = 2\n")
    return {"PYTHONPATH": str(folder)}


def _edit(path: Path, pattern: str, by: object) -> None:
    text, edits = re.subn(pattern, by, path.read_text(encoding="utf-8"), count=1)  # type: ignore[call-overload]
    assert edits == 1, path
    path.write_text(text, encoding="utf-8")


def _joined(folder: Path, redis: RedisServer, environment: dict[str, str]) -> Running:
    return start(
        *("run", "--redis", redis.url, "--crawl", "skew", "--output", str(folder), "--contexts", "2"),
        *("--ramp-up", "0s", "--allow-network", "127.0.0.0/8", "--live", "off"),
        folder=folder,
        environment=environment,
    )


def test_two_versions_share_a_crawl(shop: Shop, redis: RedisServer, tmp_path: Path) -> None:
    """The newer joins what the older has begun, and finishes it when the older drains: every page once."""
    newer = _copied(tmp_path / "newer", NEWER)
    shop.hold()
    older = crawl(tmp_path / "one", shop.url, redis=redis.url, crawl="skew", depth="1")
    seen_pages(shop, 1)
    joined = _joined(tmp_path / "two", redis, newer)
    until(lambda: _versions(redis, tmp_path) == {package.__version__, NEWER}, "two versions in the status")
    shop.release()
    seen_pages(shop, 4)
    older.signal(signal.SIGTERM)
    drained, finished = older.finish(), joined.finish(timeout_s=90)
    assert drained.code == 143, drained.output
    assert finished.code == 0, finished.output
    assert finished.urls
    assert Counter(drained.urls + finished.urls) == dict.fromkeys(shop.oracle.within(1), 1)
    audited = farm("doctor", "--audit", "--redis", redis.url, "--crawl", "skew", folder=tmp_path / "two")
    assert audited.code == 0, audited.output


def _versions(redis: RedisServer, folder: Path) -> set[str]:
    status = farm("status", "--json", "--redis", redis.url, "--crawl", "skew", folder=folder / "none")
    return {node["version"] for node in json.loads(status.output)["nodes"]} if status.code == 0 else set()


def test_a_version_with_another_schema_is_refused(shop: Shop, redis: RedisServer, tmp_path: Path) -> None:
    """In one sentence with the remedy, and the crawl is not touched."""
    later = _copied(tmp_path / "later", LATER, schema_step=1)
    assert crawl(tmp_path / "one", shop.url, redis=redis.url, crawl="skew", depth="0").finish().code == 0
    refused = _joined(tmp_path / "two", redis, later).finish()
    assert refused.code == 2, refused.output
    assert "was written by an older farm" in refused.output
    assert "finish it with that farm, or use another --crawl" in refused.output
