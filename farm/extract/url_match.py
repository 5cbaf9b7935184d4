"""Which URLs a rule of a declaration applies to, in time linear in the length of any URL."""

import re
from typing import Annotated

from pydantic import StringConstraints, TypeAdapter, ValidationError

from farm.extract.declaration import ItemRule
from farm.model.url import path_of


class UrlMatch:
    """The URLs of a rule: a glob matches the path, an expression the URL; without both every URL matches."""

    def __init__(self, rule: ItemRule) -> None:
        globs = [f"(?s)^{_expression(glob)}$" for glob in rule.url]
        self._paths = [TypeAdapter(Annotated[str, StringConstraints(pattern=glob)]) for glob in globs]
        self._urls = [TypeAdapter(Annotated[str, StringConstraints(pattern=one)]) for one in rule.url_pattern]

    def __call__(self, url: str) -> bool:
        """Return whether the rule applies to the URL."""
        if not self._paths and not self._urls:
            return True
        return any(_fits(one, path_of(url)) for one in self._paths) or any(
            _fits(one, url) for one in self._urls
        )


def _expression(glob: str) -> str:
    signs = {"*": ".*", "?": "."}
    return "".join(signs.get(sign) or re.escape(sign) for sign in glob)


def _fits(adapter: TypeAdapter[str], text: str) -> bool:
    try:
        adapter.validate_python(text)
    except ValidationError:
        return False
    return True
