"""The keywords of `Farm` and the columns of a record are those that are declared."""

import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

from farm import Farm
from farm.api.records import PageRecord
from farm.model.errors import UsageError
from farm.model.record import COLUMNS
from scripts import python_options

_TYPES = {"text": str, "integer": int, "boolean": bool, "timestamp": str}


def test_the_keywords_are_the_options_of_farm_run() -> None:
    """`PYTHONPATH=. .venv/bin/python scripts/python_options.py` writes them anew."""
    assert python_options.TARGET.read_text("utf-8") == python_options.source()


def test_a_record_has_the_declared_columns_in_their_order() -> None:
    """A text, a number and a boolean by their types, with None if a column can be null."""
    hints = get_type_hints(PageRecord)
    assert list(hints) == [column.name for column in COLUMNS]
    for column in COLUMNS:
        if column.type != "json":
            kind = _TYPES[column.type]
            assert hints[column.name] in ({kind | None} if "null" in column.meaning else {kind}), column.name


def test_a_wrong_keyword_is_refused_at_once_with_the_one_that_was_meant() -> None:
    """Before anything is run; a value as the command line refuses it."""
    with pytest.raises(UsageError, match=r"'context' is not an option \(did you mean contexts\?\)"):
        Farm(context=2)  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="write a duration such as 500ms"):
        Farm(page_timeout="8")
    with pytest.raises(AttributeError, match="no attribute 'limit'"):
        Farm().limit = 5  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match=r"--proxies .* write the path of a file"):
        Farm(proxies=["http://a.example/"])  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="'page', 'prefix'"):
        Farm(scope="all")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="the handlers of a Farm are those that it declares"):
        Farm(app="shop:farm")  # type: ignore[call-arg]


def test_one_seed_may_have_a_meta(tmp_path: Path) -> None:
    """Without a list around it."""
    seed = {"url": "https://a.example/", "meta": {"list": "a"}}
    plans = [Farm(output=str(tmp_path / "out"))._plan(seeds) for seeds in (seed, [seed], seed["url"])]
    assert [[(one.url, dict(one.meta)) for one in plan.seeds] for plan in plans] == [
        [("https://a.example/", {"list": "a"})],
        [("https://a.example/", {"list": "a"})],
        [("https://a.example/", {})],
    ]


def test_the_environment_gives_what_no_keyword_gives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As a flag wins over it, and it over `farm.toml`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FARM_CONTEXTS", "3")
    monkeypatch.setenv("FARM_RETRIES", "7")
    (tmp_path / "farm.toml").write_text("retries = 1\ndepth = 4\napp = 'shop:farm'\n")
    settings = Farm(contexts=2, depth=None)._settings
    assert (settings.contexts, settings.retries, settings.depth) == (2, 7, 4)
    # That is for `farm run`: a Farm has its own handlers.
    assert settings.app is None
    assert "app" not in settings.model_fields_set


def test_importing_the_package_imports_nothing_of_it() -> None:
    """Whoever asks for its version, or has it in a list of imports, pays for nothing else."""
    look = "import sys, farm\nprint(sorted(one for one in sys.modules if one.startswith(('farm.', 'playwright'))))"
    run = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
