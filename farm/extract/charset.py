"""Decodes the bytes of an HTML page, by the rules by which a browser finds its encoding.

In this order (HTML Living Standard, 13.2.3): a byte order mark, the `charset` of `Content-Type`, a declaration in
the head of the document, windows-1252. Labels and encodings are those of the WHATWG's Encoding Standard.
"""

import codecs
import re

import webencodings

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16le"), (codecs.BOM_UTF16_BE, "utf-16be"))
_OF_HEADER = re.compile(r";\s*charset\s*=\s*[\"']?([^\s;\"']{1,100})", re.IGNORECASE)
_SCANNED_BYTES = 1024
"""The limit of the standard; Chromium reads to the end of the head, here at most `_HEAD_BYTES`."""
_HEAD_BYTES = 64 * 1024
_HEAD_END = re.compile(rb"</head|<body", re.IGNORECASE)
_COMMENT = re.compile(rb"<!--")
_META = re.compile(rb"<meta[\s/]([^<>]{1,1000})>", re.IGNORECASE)
_CHARSET = re.compile(rb"charset\s{0,9}=\s{0,9}[\"']?\s{0,9}([^\s\"'/>;]{1,100})", re.IGNORECASE)
_XML = re.compile(rb"<\?xml\s[^<>]{0,200}?encoding\s{0,9}=\s{0,9}[\"']([A-Za-z0-9._-]{1,40})[\"']")
_NAMES = {
    **{f"iso-8859-{n}": f"ISO-8859-{n}" for n in range(2, 17)},
    "iso-8859-8-i": "ISO-8859-8-I",
    "utf-8": "UTF-8",
    "utf-16le": "UTF-16LE",
    "utf-16be": "UTF-16BE",
    "ibm866": "IBM866",
    "koi8-r": "KOI8-R",
    "koi8-u": "KOI8-U",
    "gbk": "GBK",
    "big5": "Big5",
    "euc-jp": "EUC-JP",
    "euc-kr": "EUC-KR",
    "iso-2022-jp": "ISO-2022-JP",
    "shift_jis": "Shift_JIS",
}
"""The spellings of `document.characterSet`; others are in lower case."""
_LENIENT = "farm_c1"


def decoded(body: bytes, content_type: str) -> tuple[str, str]:
    """Return the text, and the name of its encoding as `document.characterSet` has it."""
    for mark, name in _MARKS:
        if body.startswith(mark):
            return _text(body[len(mark) :], name), _NAMES[name]
    found = _OF_HEADER.search(content_type[:1000])
    encoding = webencodings.lookup(found[1]) if found is not None else None
    if encoding is None:
        encoding = _declared(body)
    name = encoding.name if encoding is not None else "windows-1252"
    return _text(body, name), _NAMES.get(name, name)


def _declared(body: bytes) -> webencodings.Encoding | None:
    """Return the encoding that the document declares; None if it declares none that there is."""
    head = body[:_HEAD_BYTES]
    end = _HEAD_END.search(head, _SCANNED_BYTES) if len(head) > _SCANNED_BYTES else None
    head = _without_comments(head[: end.start()] if end is not None else head)
    xml = _XML.match(head)
    labels = [xml[1]] if xml is not None else []
    for tag in _META.finditer(head):
        charset = _CHARSET.search(tag[1])
        if charset is not None:
            labels.append(charset[1])
            break
    for label in labels:
        encoding = webencodings.lookup(label.decode("latin-1"))
        if encoding is not None and encoding.name.startswith("utf-16"):
            # Such a declaration could not have been read if it were true.
            return webencodings.lookup("utf-8")
        if encoding is not None and encoding.name == "x-user-defined":
            return webencodings.lookup("windows-1252")
        if encoding is not None:
            return encoding
    return None


def _without_comments(head: bytes) -> bytes:
    first, *rest = _COMMENT.split(head)
    return b"".join([first, *(piece.partition(b"-->")[2] for piece in rest)])


def _text(body: bytes, name: str) -> str:
    if name == "windows-1252":
        return body.decode("cp1252", _LENIENT)
    if name == "gbk":
        return body.decode("gb18030", "replace")
    encoding = webencodings.lookup(name)
    if encoding is None:
        raise AssertionError(f"{name} is an encoding of the standard")
    return str(encoding.codec_info.decode(body, "replace")[0])


def _as_control(error: UnicodeError) -> tuple[str, int]:
    """Return the five bytes that windows-1252 leaves open as the control characters that browsers make of them."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error(_LENIENT, _as_control)
