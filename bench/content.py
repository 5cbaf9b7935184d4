"""The pages of the benchmark, and the expected result of a complete crawl.

Every page is an empty shell: its script asks for JSON once and draws cards from it with React. A card has a
picture, a line and a link to another page of the workload, so that a crawler finds nothing new but must check
every link.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

CARDS = 40
HEAVY_NODES = 3_000
HEAVY_SCRIPT_BYTES = 1_000_000
CARD_SELECTOR = "#last"
"""Matches once the content is complete, for crawlers that need a selector to wait for."""

SHELL = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Shelf {number}</title>'
    '<link rel="icon" href="data:,"><link rel="stylesheet" href="/assets/shop.css"></head>'
    '<body><div id="root"></div>{scripts}</body></html>'
)
STYLE = (
    "body{font:16px sans-serif;margin:2rem}#grid{display:grid;grid-template-columns:repeat(4,1fr);gap:1rem}"
    ".card{border:1px solid #ccc;border-radius:6px;padding:1rem}.card img{width:100%;height:120px}"
)
APP = """(() => {
const e = React.createElement;
function Card({ item, last }) {
  const facts = item.facts.map((fact, at) => e("li", { key: at }, e("span", null, fact)));
  return e("article", { className: "card", id: last ? "last" : undefined },
    e("img", { src: item.picture, alt: item.name, loading: "eager" }),
    e("h2", null, e("a", { href: item.link }, item.name)),
    e("p", { className: "price" }, item.price), facts.length ? e("ul", null, facts) : null);
}
function Shelf() {
  const [items, put] = React.useState(null);
  React.useEffect(() => {
    fetch("/api" + location.pathname).then((answer) => answer.json()).then((data) => put(data.items));
  }, []);
  if (!items) return e("p", null, "Loading");
  return e("main", null, e("h1", null, document.title), e("div", { id: "grid" },
    items.map((item, at) => e(Card, { key: item.name, item, last: at === items.length - 1 }))));
}
ReactDOM.createRoot(document.getElementById("root")).render(e(Shelf));
})();
"""


@dataclass(frozen=True, slots=True)
class Expected:
    """The expected result of a page: absolute links, and phrases of its HTML."""

    links: frozenset[str]
    phrases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Workload:
    """`origins` sites with `pages` pages in all; `heavy` makes each page large."""

    name: str
    origins: tuple[str, ...]
    pages: int
    heavy: bool = False

    @property
    def urls(self) -> tuple[str, ...]:
        """All pages, in an order that goes from site to site."""
        return tuple(self._url(number) for number in range(self.pages))

    def _url(self, number: int) -> str:
        return f"{self.origins[number % len(self.origins)]}/shelf/{number}"

    def items(self, number: int) -> list[dict[str, object]]:
        """Return the cards of a page, as its JSON has them."""
        cards: list[dict[str, object]] = []
        facts = HEAVY_NODES // CARDS // 2 if self.heavy else 0
        for card in range(CARDS):
            name = f"Thing {number}-{card}"
            cards.append(
                {
                    "name": name,
                    "link": self._url((number * 7 + card * 3 + 1) % self.pages),
                    "price": f"{(number * 31 + card * 17) % 900 + 10} crowns",
                    "picture": f"/images/{(number + card) % 60}.png",
                    "facts": [f"Fact {fact} of {name}" for fact in range(facts)],
                }
            )
        return cards

    def expected(self, number: int) -> Expected:
        """Return the expected result of a page."""
        items = self.items(number)
        phrases = [str(value) for item in items for value in (item["name"], item["price"])]
        phrases += [
            str(item["facts"][-1]) for item in items if isinstance(item["facts"], list) and item["facts"]
        ]
        return Expected(frozenset(str(item["link"]) for item in items), tuple(phrases))

    def bodies(self, react: Sequence[bytes]) -> dict[str, tuple[str, bytes]]:
        """Return content type and body of every path; `react` is React's own code, in order."""
        scripts = ["react", "react-dom", *(["ballast"] if self.heavy else []), "app"]
        tags = "".join(f'<script src="/assets/{name}.js"></script>' for name in scripts)
        found = {
            "/assets/react.js": ("text/javascript", react[0]),
            "/assets/react-dom.js": ("text/javascript", react[1]),
            "/assets/ballast.js": ("text/javascript", ballast()),
            "/assets/app.js": ("text/javascript", APP.encode()),
            "/assets/shop.css": ("text/css", STYLE.encode()),
        }
        for number in range(self.pages):
            shell = SHELL.format(number=number, scripts=tags)
            found[f"/shelf/{number}"] = ("text/html; charset=utf-8", shell.encode())
            body = json.dumps({"items": self.items(number)}).encode()
            found[f"/api/shelf/{number}"] = ("application/json", body)
        return found


def ballast() -> bytes:
    """Return a script as large as a careless bundle: functions that are parsed, half of them also run."""
    parts = ["(() => { const kept = {};"]
    size, at = 0, 0
    while size < HEAVY_SCRIPT_BYTES:
        part = (
            f"kept.part{at} = function (a, b) {{ const list = []; for (let n = 0; n < (a || 4); n += 1) {{"
            f" list.push({{ at: n, text: 'part {at} item ' + n, sum: n * {at} + (b || 1) }}); }}"
            f" return list.filter((one) => one.sum % 2 === 0).map((one) => one.text).join(', '); }};\n"
        )
        parts.append(part)
        size += len(part)
        at += 1
    parts.append(
        "let n = 0; for (const name in kept) if ((n += 1) % 2) kept[name](3, n); window.ballast = n; })();"
    )
    return "".join(parts).encode()
