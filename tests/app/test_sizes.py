"""What a machine cannot carry is answered at once; where a crawl's files are by default."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import farm
from farm.app.access import output_folder
from farm.app.preflight import preflight
from farm.app.sizes import check_files, check_sizes
from farm.model.errors import UsageError
from farm.model.url import HashRoutes
from farm.resources.processes import MOST_FILES
from farm.scope.rules import ScopeKind
from farm.scope.seeds import parse_seed
from farm.settings.commands import RunSettings
from farm.settings.units import parse_memory

GIB = 2**30


@pytest.mark.parametrize(
    ("memory", "contexts", "said"),
    [
        ("500GiB", None, "has 24.0 GiB"),
        ("50MiB", None, "needs 384.0 MiB"),
        ("1%", None, "needs 384.0 MiB"),
        ("75%", 1_000_000, "--contexts 1000000: a budget of 18.0 GiB has space for"),
    ],
)
def test_a_number_that_cannot_be_meant_is_refused(memory: str, contexts: int | None, said: str) -> None:
    """With what the machine has."""
    with pytest.raises(UsageError) as error:
        check_sizes(parse_memory(memory), 24 * GIB, contexts)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("contexts", "processes", "files", "said"),
    [
        (1, 1, 128, None),
        (200, 2, 1024, None),
        (1, 1, 70, "the process needs 128 open files and may have 70 here; allow 128 with"),
        (500, 1, 1024, "the process needs 4,120 open files and may have 1,024 here; give 113 contexts, or"),
        (500, 2, 1024, "each process needs 2,120 open files and may have 1,024 here; give 226 contexts, or"),
    ],
)
def test_contexts_need_open_files(contexts: int, processes: int, files: int, said: str | None) -> None:
    """The sentence says how many, how many there may be, and both remedies where there are two."""
    if said is None:
        check_files(contexts, processes, files)
    else:
        with pytest.raises(UsageError) as error:
            check_files(contexts, processes, files)
        assert str(error.value).startswith(f"--contexts {contexts}: {said} ")
        assert str(error.value).endswith(" with `ulimit -n`.")


def test_a_run_with_too_few_open_files_does_not_begin(tmp_path: Path) -> None:
    """It says so in one sentence, and creates nothing."""
    hard = (70, 70)
    ended = subprocess.run(
        [sys.executable, "-m", "farm.cli.main", "run", "http://a.example/", "--render", "fetch"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(farm.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, hard),
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "the process needs 128 open files and may have 70 here; allow 128 with `ulimit -n`." in " ".join(
        ended.stderr.split()
    )
    assert not list(tmp_path.iterdir())


def test_the_number_of_contexts_is_automatically_within_the_open_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A limit of the shell's alone is raised first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    settings = RunSettings(urls=("http://a.example/",), output=tmp_path, render="fetch")
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1024), hard))
        preflight(settings)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(hard, MOST_FILES)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    monkeypatch.setattr("farm.app.preflight.allow_most_files", lambda: 136)
    assert preflight(settings).contexts == 2


@pytest.mark.parametrize(("render", "is_taken"), [("light", True), ("fetch", True), ("auto", False)])
def test_more_contexts_fit_where_no_page_is_to_have_a_browser(
    tmp_path: Path, render: str, is_taken: bool
) -> None:
    """Two hundred light ones into three gibibytes; by `auto` all of them may be the browser's."""
    settings = RunSettings.model_validate(
        {
            "urls": ("http://a.example/",),
            "output": tmp_path,
            "render": render,
            "contexts": 200,
            "memory": "3GiB",
        }
    )
    if is_taken:
        assert preflight(settings).contexts == 200
    else:
        with pytest.raises(UsageError, match=r"a budget of 3\.0 GiB has space for 169 at most"):
            preflight(settings)


@pytest.mark.parametrize(
    ("memory", "contexts"), [("75%", None), ("100%", 200), ("1GiB", 40), ("512MiB", 4), ("384MiB", 1)]
)
def test_numbers_that_people_use_are_taken(memory: str, contexts: int | None) -> None:
    """Also tight ones: the budget is what holds them."""
    assert check_sizes(parse_memory(memory), 24 * GIB, contexts) == parse_memory(memory).of(24 * GIB)


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("https://shop.example/", "shop.example"),
        ("https://shop.example:443/", "shop.example"),
        ("https://shop.example:8443/", "shop.example_8443"),
        ("http://127.0.0.1:8080/", "127.0.0.1_8080"),
        ("http://[::1]/", "__1"),
        ("http://[::1]:8080/", "__1_8080"),
    ],
)
def test_the_folder_is_named_after_the_first_seeds_host_and_port(url: str, folder: str) -> None:
    """Two ports are two sites."""
    seed = parse_seed(url, hash_routes=HashRoutes.OFF, keep_params=())
    assert output_folder(RunSettings(), (seed,)) == Path("crawls") / folder


@pytest.mark.parametrize(
    ("given", "environment", "where"),
    [
        ({"output": "a b"}, "", "--output 'a b'"),
        ({"output": "x", "crawl": "c"}, "", "--crawl c --output x"),
        ({"redis": "redis://h:1", "crawl": "c"}, "", "--redis redis://h:1 --crawl c --output crawls/c"),
        ({"redis": "redis://me:pw@h"}, "", "--redis 'redis://***@h' --output crawls/a.example"),
        ({"redis": "redis://me:pw@h"}, "redis://me:pw@h", "--output crawls/a.example"),
        (
            {"redis": "redis://me:pw@h"},
            "redis://me:old@h",
            "--redis 'redis://***@h' --output crawls/a.example",
        ),
    ],
)
def test_a_run_names_its_crawl_to_other_commands(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: dict[str, str], environment: str, where: str
) -> None:
    """With a password only where the next command has it anyway."""
    monkeypatch.chdir(tmp_path)
    if environment:
        monkeypatch.setenv("FARM_REDIS", environment)
    settings = RunSettings.model_validate({"urls": ("http://a.example/",), **given})
    assert preflight(settings).where == where


def test_a_depth_in_a_scope_without_links_is_refused(tmp_path: Path) -> None:
    """It would have no effect; of the other scopes it is taken."""
    urls = ("http://a.example/",)
    with pytest.raises(UsageError, match="--depth has no effect with --scope page"):
        preflight(RunSettings(urls=urls, output=tmp_path, scope=ScopeKind.PAGE, depth=2))
    for scope, depth in ((ScopeKind.PAGE, 0), (ScopeKind.HOST, 2)):
        preflight(RunSettings(urls=urls, output=tmp_path, scope=scope, depth=depth))


@pytest.mark.parametrize(("engines", "is_said"), [(3, True), (2, False), (None, False)])
def test_more_browsers_than_contexts_are_not_started(
    tmp_path: Path, engines: int | None, is_said: bool
) -> None:
    """And the user is told."""
    plan = preflight(RunSettings(urls=("http://a.example/",), output=tmp_path, contexts=2, engines=engines))
    assert plan.engines <= 2
    assert any("not the 3 of --engines" in warning for warning in plan.warnings) is is_said
