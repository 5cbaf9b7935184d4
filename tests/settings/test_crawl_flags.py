"""A command that is offered names the crawl of the command that was given."""

import pytest

from farm.settings.origin import crawl_flags, with_flags


@pytest.mark.parametrize(
    ("arguments", "flags"),
    [
        (["http://a.example/"], ""),
        (["-o", "a folder"], "--output 'a folder'"),
        (["-oout", "--crawl=c"], "--crawl c --output out"),
        (["--output=out", "--", "--crawl", "c"], "--output out"),
        (
            ["--redis", "redis://me:secret@host", "--redis-ca-file", "ca"],
            "--redis 'redis://***@host' --redis-ca-file ca",
        ),
        (["--crawl"], "--crawl ''"),
    ],
)
def test_the_flags_that_name_a_crawl_are_known_again(arguments: list[str], flags: str) -> None:
    """Quoted for a shell, and without a password."""
    assert crawl_flags(arguments) == flags


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("It is gone; see `farm dead list`.", "It is gone; see `farm dead list -o x`."),
        ("Gone; `farm run --fresh URL` helps.", "Gone; `farm run --fresh URL -o x` helps."),
        ("`farm dead show` takes one id; leave one out.", "`farm dead show` takes one id; leave one out."),
        ("No; see `farm run --help`.", "No; see `farm run --help`."),
        ("No; try `farm resume --output y`.", "No; try `farm resume --output y`."),
    ],
)
def test_a_command_that_is_offered_names_the_crawl(sentence: str, said: str) -> None:
    """But for what does already, and for the command that was wrong."""
    assert with_flags(sentence, "-o x") == said
    assert with_flags(sentence, "") == sentence
