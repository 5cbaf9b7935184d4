"""Text as a browser lays it out in lines, put together from words, blocks, boxes and cells.

By the rules of `innerText` (HTML Living Standard) and of white space (CSS Text, section 4): collapsing white space
leaves one space between words, and none at the beginning or end of a line. Line breaks that blocks require
do not add up; those of `br`, of table rows and of preserved text do.
"""

import re

BLANKS = " \t\n\r\f"
_SPACES = re.compile(r"[ \t\n\r\f]+")
_WORD_BEGINS = re.compile(r"(?<=\s)\S")
_BUT_BREAKS = re.compile(r"[ \t\r\f]+")


class TextLayout:
    """Gets the contents of a page in order; `text` is the result."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._due = 0
        """How many line breaks come before the next text."""
        self._begins = True
        """Whether a line begins, so that white space is left out."""
        self._space = False
        """Whether a space comes before the next text of the line."""
        self._tables: list[list[int]] = []
        self._after_box = self._after_text = self._apart = False

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._parts)

    @property
    def begins_word(self) -> bool:
        """Whether the next text does not continue a word."""
        return self._begins or self._space

    @property
    def pieces(self) -> int:
        """How many pieces the text so far has."""
        return len(self._parts)

    def words(self, text: str, keeps: str = "") -> None:
        """Add text; `keeps` says which white space is kept: none, `lines` only line breaks, `all` all of it."""
        if keeps:
            return self._kept(text, keeps)
        inner = text.strip(BLANKS)
        if not inner or text[0] in BLANKS:
            self._space = self._space or not self._begins
        if inner:
            self._keep_apart()
            self._write(_SPACES.sub(" ", inner))
            self._space = text[-1] in BLANKS
        return None

    def _kept(self, text: str, keeps: str) -> None:
        if text[0] not in BLANKS:
            self._keep_apart()
        if keeps == "all":
            self._write(text)
        else:
            lines = [_BUT_BREAKS.sub(" ", line.strip(BLANKS)) for line in text.split("\n")]
            self._write("\n".join(lines))

    def _keep_apart(self) -> None:
        """Add a space before text that only a box holds apart from the text before."""
        if self._apart and not self._due and not self._space and not self._parts[-1][-1:].isspace():
            self._space = True

    def _write(self, text: str) -> None:
        if self._due:
            if self._parts:
                self._parts.append("\n" * self._due)
            self._due = 0
        if self._space:
            self._parts.append(" ")
            self._space = False
        self._parts.append(text)
        self._begins = self._apart = False

    def block(self, breaks: int = 1) -> None:
        """Begin or end a block, which requires this many line breaks before and after it."""
        self._due = max(self._due, breaks)
        self._begins, self._space, self._apart = True, False, False

    def break_line(self) -> None:
        """Break the line, as `br` does."""
        self._space = False
        self._write("\n")
        self._begins = True

    def replaced(self) -> None:
        """Add an inline element without text, such as an image."""
        if self._space:
            self._space = False
            self._write(" ")
        self._begins = False

    def open_box(self) -> None:
        """Begin an inline element with its own lines, such as a button."""
        if self._space:
            self._space = False
            self._write(" ")
        self._begins = True

    def close_box(self) -> None:
        """End an inline element with its own lines."""
        self._begins = self._space = False

    def open_table(self) -> None:
        """Begin a table."""
        self.block()
        self._tables.append([0, 0])

    def close_table(self) -> None:
        """End a table."""
        self._tables.pop()
        self.block()

    def row(self) -> None:
        """Begin a row of a table."""
        if self._tables:
            table = self._tables[-1]
            if table[0]:
                self.break_line()
            table[:] = [1, 0]

    def cell(self) -> None:
        """Begin a cell of a row."""
        if self._tables:
            if self._tables[-1][1]:
                self._space = False
                self._write("\t")
            self._tables[-1][1] = 1
        self.close_cell()

    def close_cell(self) -> None:
        """End a cell of a row."""
        self._begins, self._space = True, False

    def begins(self, *, adjoins: bool, is_box: bool) -> bool:
        """Note that an element begins; one that `adjoins` the one before has no space of its own between them.

        If a box separates the two, a space is added, although the browser's own text has none. Return whether one
        is due before the text of this element.
        """
        is_apart = adjoins and self._after_text and (is_box or self._after_box)
        self._apart = self._apart or is_apart
        return is_apart

    def ends(self, *, is_box: bool, has_text: bool, is_apart: bool) -> None:
        """Note that an element ends, one before which a space `is_apart` due."""
        self._after_box, self._after_text = is_box, has_text
        if is_apart:
            self._apart = False


def in_case(text: str, case: str, *, begins_word: bool) -> str:
    """Return the text as `text-transform` shows it; `begins_word` says whether its first word begins with it."""
    if case == "uppercase":
        return text.upper()
    if case == "lowercase":
        return text.lower()
    if case != "capitalize":
        return text
    first = text[:1].upper() if begins_word else text[:1]
    return first + _WORD_BEGINS.sub(lambda found: found[0].upper(), text[1:])
