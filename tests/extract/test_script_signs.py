"""Signs that a document waits for its scripts."""

import pytest

from farm.extract.page_reader import page_of
from farm.extract.script_signs import FRAME_CHARS, SHORT_CHARS

LONG = f"<p>{'A lamp of brass. ' * (SHORT_CHARS // 10)}</p>"
WHOLE = f"<p>{'A lamp of brass. ' * (FRAME_CHARS // 10)}</p>"
SHORT = "<p>Lamps</p>"
DATA = f'<script type="application/json">"{"x" * SHORT_CHARS}"</script>'
SCRIPT = "<script src='/app.js'></script>"
ASKS = "<noscript>You need to enable JavaScript to run this app.</noscript>"


def why(body: str) -> str:
    """Return why a browser may show another page."""
    said = page_of(
        f"<!doctype html><title>x</title><body>{body}".encode(),
        {"url": "http://a.example/", "content_type": "text/html", "caps": {}},
    )
    unlike = said["unlike"]
    assert isinstance(unlike, str)
    return unlike


@pytest.mark.parametrize(
    "root", ["<div id=root></div>", "<div id='app'> <!-- --> </div>", "<app-root></app-root>"]
)
def test_an_empty_root_waits_for_its_script_beside_a_menu_and_a_footer(root: str) -> None:
    """One that the server has filled does not, nor does an empty place of a page without scripts."""
    assert why(root + LONG + SCRIPT) == "an empty root waits for its script"
    assert why(root + LONG) == ""
    assert why(root + WHOLE + SCRIPT) == ""
    assert why(f"<div id=root>{LONG}</div>{SCRIPT}") == ""


def test_a_part_that_is_busy_is_a_sign() -> None:
    """It says so itself."""
    assert why(f"<div aria-busy=true>x</div>{LONG}{SCRIPT}") == "a part of it is busy"
    assert why(f"<div aria-busy=false>x</div>{LONG}{SCRIPT}") == ""


@pytest.mark.parametrize(
    ("sign", "said"),
    [
        (ASKS, "it asks for scripts"),
        ("<noscript>Bitte aktivieren Sie JavaScript.</noscript>", "it asks for scripts"),
        ("<noscript><img src=/count.gif></noscript>", ""),
        ("<i class='big spinner'></i>", "it shows that it loads"),
        ("<i role=progressbar></i>", "it shows that it loads"),
        (DATA, "it has more data than text"),
        ("<script>var lamps = []</script>", ""),
    ],
)
def test_other_signs_count_where_the_text_is_short(sign: str, said: str) -> None:
    """A page that is there has them too, for what its scripts do later."""
    assert why(sign + SHORT + SCRIPT) == said
    assert why(sign + LONG + SCRIPT) == ""
