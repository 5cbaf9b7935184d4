"""The program of a parser process: requests on standard input, answers on standard output, one by one.

    python -I -m farm.extract.parser_process MEMORY_BYTES

A request is the length of its head and of its body (4 bytes each, big-endian), the head, which is the job and its
arguments as JSON, and the body, which is HTML in UTF-8. An answer is its length and JSON. It ends when standard
input does, and by its own failure: whoever asked sees the end of the answers, and starts another one.
"""

import contextlib
import resource
import struct
import sys
from typing import Any

import orjson

REQUEST, ANSWER = struct.Struct(">II"), struct.Struct(">I")


def answer(job: str, arguments: dict[str, Any], body: bytes) -> Any:
    """Return what a job makes of the body; libraries are imported by the first one that needs them."""
    match job:
        case "texts":
            from farm.extract.texts import texts_of

            return texts_of(body, arguments)
    raise ValueError(job)


def main() -> None:
    """Answer until there are no more requests."""
    memory_bytes = int(sys.argv[1])
    with contextlib.suppress(OSError, ValueError):
        # Not on every system: then the farm's own budget is what bounds it.
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    # What a library prints must not come between the answers.
    sys.stdout = sys.stderr
    while len(lengths := requests.read(REQUEST.size)) == REQUEST.size:
        head_bytes, body_bytes = REQUEST.unpack(lengths)
        job, arguments = orjson.loads(requests.read(head_bytes))
        made = orjson.dumps(answer(job, arguments, requests.read(body_bytes)))
        answers.write(ANSWER.pack(len(made)) + made)
        answers.flush()


if __name__ == "__main__":
    main()
