"""The scripts for pages, as they are sent."""

from farm.browser.scripts import script


def test_a_script_is_sent_without_comments_and_indentation() -> None:
    """It does the same: every test of reading and settling uses it so."""
    sent = script("settle.js", "collect.js")
    assert "async function settle(" in sent
    assert "function collect(" in sent
    lines = sent.split("\n")
    assert all(line == line.strip() and line and not line.startswith("//") for line in lines)


def test_no_text_in_a_script_spans_lines() -> None:
    """It would lose its indentation."""
    for name in (
        "settle.js",
        "text.js",
        "collect.js",
        "bounded.js",
        "act.js",
        "platform.js",
        "hook.js",
        "flood.js",
    ):
        assert all(line.count("`") % 2 == 0 for line in script(name).split("\n")), name
