"""The program of a parser process: requests on standard input, answers on standard output, one by one.

    python -I -m farm.extract.parser_process MEMORY_BYTES

A request is the length of its head and of its body (4 bytes each, big-endian), the head, which is JSON (the job,
its arguments and the bytes of each text), and the body, which is these texts in UTF-8, HTML first. An answer is
its length and JSON: an object, or a text that says why the page is not read. It ends when standard input does, and
by its own failure: whoever asked sees the end of the answers, and starts another one.
"""

import contextlib
import os
import resource
import struct
import sys
from itertools import accumulate
from typing import Any

import orjson

from farm.extract.nesting import Unreadable

REQUEST, ANSWER = struct.Struct(">II"), struct.Struct(">I")


def answer(job: str, arguments: dict[str, Any], texts: list[bytes]) -> Any:
    """Return what a job makes of the texts; libraries are imported by the first one that needs them."""
    match job:
        case "texts":
            from farm.extract.texts import texts_of

            return texts_of(texts[0], arguments)
        case "page":
            from farm.extract.page_reader import page_of

            return page_of(texts[0], arguments, texts[1:])
        case "text":
            from farm.extract.page_reader import text_of

            return text_of(texts[0], arguments)
        case "items":
            from farm.extract.engine import items_of

            return items_of(texts, arguments)
        case "near_misses":
            from farm.extract.near_misses import near_misses_of

            return near_misses_of(texts, arguments)
    raise ValueError(job)


def main() -> None:
    """Answer until there are no more requests."""
    memory_bytes = int(sys.argv[1])
    with contextlib.suppress(OSError, ValueError):
        # Not on every system: then the farm's own budget is what bounds it.
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    # What a library prints, in Python or in C, must not come between the answers.
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    while len(lengths := requests.read(REQUEST.size)) == REQUEST.size:
        head_bytes, body_bytes = REQUEST.unpack(lengths)
        job, arguments, sizes = orjson.loads(requests.read(head_bytes))
        body = requests.read(body_bytes)
        ends = [*accumulate(sizes)]
        texts = [body[end - size : end] for size, end in zip(sizes, ends, strict=True)]
        try:
            made = orjson.dumps(answer(job, arguments, texts))
        except Unreadable as why:
            made = orjson.dumps(str(why))
        answers.write(ANSWER.pack(len(made)) + made)
        answers.flush()


if __name__ == "__main__":
    main()
