"""Applies the table of vendors' pages: the first matching row gives the vendor, its conditions the evidence."""

import re
from collections.abc import Iterator

from farm.detect.page_features import PageFeatures, tags
from farm.detect.rules import RULES, Rule
from farm.model.page import Detection

_FIELD = re.compile(r"<(?:textarea|input)[^>]*")
_TEXT_TYPE = re.compile(r"type=[\"']?(?:text|email|tel|search|password)\b")
# The answer field of a captcha is not a form field.
_ANSWER = "-response"
LONGEST_SIGN = 120
# Most pages have more text than most rows allow, so that only the rest is looked at: the rows that allow `bound`.
_BY_BOUND = tuple(
    (bound, tuple(rule for rule in RULES if rule.below >= bound))
    for bound in sorted({rule.below for rule in RULES})
)


def find(page: PageFeatures) -> Detection | None:
    """Return the detection of the first matching row; None if no row matches."""
    for rule in next((rules for bound, rules in _BY_BOUND if page.text_chars < bound), ()):
        fitting = signs(rule, page)
        if fitting is not None:
            return Detection(rule.finding, rule.by, fitting)
    return None


def signs(rule: Rule, page: PageFeatures) -> tuple[str, ...] | None:
    """Return the evidence if all conditions of the rule hold, else None. Cheap conditions come first."""
    if page.text_chars >= rule.below or (rule.statuses and page.status not in rule.statuses):
        return None
    evidence = []
    for holds, sign in _conditions(rule, page):
        if not holds:
            return None
        evidence.append(sign[:LONGEST_SIGN])
    return tuple(evidence)


def _conditions(rule: Rule, page: PageFeatures) -> Iterator[tuple[bool, str]]:
    if rule.statuses:
        yield True, f"status {page.status}"
    for name, pattern in rule.headers.items():
        value = page.headers.get(name, "")
        yield pattern.search(value) is not None, f"header {name}: {value}"
    if rule.title is not None:
        found = rule.title.search(page.title)
        yield found is not None, f"title: {found[0]}" if found else ""
    for mark in rule.markup:
        # Markup that appears in the visible text is quoted, not in use.
        yield mark in page.markup and mark not in page.words, f"markup: {mark}"
    if rule.words is not None:
        found = rule.words.search(page.words)
        yield found is not None, f"text: {found[0]}" if found else ""
    for mark in rule.lacks:
        yield mark not in page.markup, f"no {mark}"
    if rule.formless:
        yield (
            not any(map(_is_to_fill_in, tags(_FIELD, page.markup))),
            f"nothing else but {page.text_chars} characters of text",
        )


def _is_to_fill_in(tag: str) -> bool:
    if tag.startswith("<textarea"):
        return _ANSWER not in tag
    return _TEXT_TYPE.search(tag) is not None
