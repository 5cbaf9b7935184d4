"""Texts of pages: those of JavaScript may have halves of surrogate pairs, which UTF-8 cannot hold."""


def well_formed(text: str) -> str:
    """Return the text with each half of a surrogate pair as U+FFFD, as JavaScript's `toWellFormed` has it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def utf_8(text: str) -> bytes:
    """Return the text in UTF-8, each half of a surrogate pair as U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return well_formed(text).encode()
