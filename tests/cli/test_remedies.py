"""Problems that a command finds are reported with the remedy."""

from pathlib import Path

import pytest

from farm.cli.main import main
from tests.cli.outside import Outside


def test_a_crawl_that_is_not_there_is_told_with_a_remedy(outside: Outside) -> None:
    """The name may be wrong, or it was never begun."""
    outside.redis("FLUSHALL")
    done = outside.farm("status")
    assert done.code == 2
    assert "no crawl named 't'" in done.sentence
    offered = f"`farm run URL --redis {outside.url} --crawl t`"
    assert f"; name another with --crawl, or begin it with {offered}." in done.sentence


def test_a_run_that_names_no_crawl_is_told_which_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other commands take the only one that there is; a run might begin another."""
    monkeypatch.chdir(tmp_path)
    assert main(["run"]) == 2
    assert capsys.readouterr().err.endswith("give a URL, or the --output of a crawl.\n")
    for number in range(6):
        Path(f"crawls/{number}/.farm/redis").mkdir(parents=True)
    assert main(["run"]) == 2
    told = "the --output of a crawl: crawls/0, crawls/1, crawls/2, crawls/3, crawls/4 and 1 more.\n"
    assert capsys.readouterr().err.endswith(told)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("gopher://a.example/\nnothing\n", "line 1: "),
        ("", "nothing to add in seeds.txt"),
        ("# none yet\n", "nothing to add"),
    ],
)
def test_a_seeds_file_without_a_url_is_a_usage_error(outside: Outside, lines: str, said: str) -> None:
    """As it is to a run."""
    Path("seeds.txt").write_text(lines)
    done = outside.farm("add", "--seeds", "seeds.txt")
    assert done.code == 2
    assert said in done.sentence


def test_a_seeds_file_with_a_bad_line_is_taken_but_for_that(outside: Outside) -> None:
    """It is named by its number."""
    Path("seeds.txt").write_text("nothing\nhttp://e.example/\nhttp://a.example/\n")
    done = outside.farm("add", "--seeds", "seeds.txt", "http://f.example/")
    assert (done.code, done.out) == (0, "2 added, 1 known already\n")
    assert done.err.startswith("farm: seeds.txt, line 1: ")


def test_urls_that_nobody_visits_are_said_to_need_a_run(outside: Outside) -> None:
    """Unless there is a node, or nothing was added."""
    said = outside.farm("add", "http://e.example/").err
    assert (
        said
        == f"farm: no node is at work on the crawl; `farm run --redis {outside.url} --crawl t` starts one.\n"
    )
    assert outside.farm("add", "http://e.example/").err == ""
    outside.register("n1", "life")
    assert outside.farm("add", "http://f.example/").err == ""


@pytest.mark.browser
def test_an_audit_tells_each_violation_on_a_line_of_its_own(outside: Outside) -> None:
    """With what to do about them."""
    outside.redis("RPUSH", "@q:5:nowhere.example", "garbage")
    outside.redis("HSET", "@tally", "tls", 3)
    done = outside.farm("doctor", "--audit", "--no-sandbox")
    assert done.code == 1
    head, *violations = done.out[done.out.index("t is inconsistent") :].splitlines()
    assert "report these lines" in head
    assert "--fresh" in head
    assert len(violations) > 2
    assert all(line.startswith("      - ") for line in violations)


@pytest.mark.browser
def test_an_audit_of_a_garbled_crawl_is_one_sentence(outside: Outside) -> None:
    """Without the words of the script."""
    outside.redis("SET", "@ctl", "garbage")
    done = outside.farm("doctor", "--audit", "--no-sandbox")
    assert done.code == 2
    assert "cannot be read" in done.out
    assert "user_function" not in done.out


def test_every_kind_of_redis_is_named_by_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """A Cluster, too."""
    with pytest.raises(SystemExit):
        main(["status", "--help"])
    assert "redis+cluster://" in capsys.readouterr().out
