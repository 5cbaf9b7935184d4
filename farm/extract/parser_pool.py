"""Processes that parse HTML, so that no page blocks the event loop, uses up its memory or ends it.

Invariants: a process is started when a page needs one and none is idle, `most` at once; a page that is not
finished in time ends that process and no other; each is known to the reaper as long as it runs.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import orjson

from farm.extract.declaration import Declaration
from farm.extract.engine import Extraction, Extractor, PageContent
from farm.extract.parser_process import ANSWER, REQUEST
from farm.model.errors import RendererUnfit, UsageError
from farm.model.outcome import FailureKind
from farm.model.page import PageError, RenderedPage
from farm.model.secret import kept
from farm.model.text import utf_8
from farm.resources.installation import install_command

PROGRAM = "farm.extract.parser_process"
MOST = 4
END_S = 5.0
JOB_S = 10.0
WAIT_S = 25.0
TRIES = 2
"""A process may die because of an earlier page, or be killed if memory is short."""
JOBS = 2_000
"""After this many pages a process is replaced: libraries leak some memory."""
_MOST_BODY_BYTES = 64 * 2**20
_MOST_ANSWER_BYTES = 64 * 2**20
_READ_AHEAD_BYTES = 1 << 20


class ParserFailed(Exception):
    """A page could not be parsed; the message says why. `innocent`: for want of a process, whatever the page."""

    def __init__(self, message: str, *, innocent: bool = False) -> None:
        super().__init__(message)
        self.innocent = innocent


@dataclass(frozen=True, slots=True)
class ParserParams:
    """The number of processes at `most`, the memory of each, and the deadlines of a job.

    `job_s` is how long a process may work on one page, `wait_s` how long all of it may take, waiting for a process
    and a second try included.
    """

    most: int
    memory_bytes: int
    job_s: float = JOB_S
    wait_s: float = WAIT_S


@dataclass(slots=True)
class _Parser:
    process: asyncio.subprocess.Process
    jobs: int = 0


class ParserPool:
    """Parser processes; `own` and `free` tell the reaper of each, `close` ends them."""

    def __init__(self, params: ParserParams, own: Callable[[int], None], free: Callable[[int], None]) -> None:
        self.params = params
        self._own = own
        self._free = free
        self._idle: list[_Parser] = []
        self._all: set[int] = set()
        self._places = asyncio.Semaphore(params.most)

    @property
    def pids(self) -> frozenset[int]:
        """The running processes."""
        return frozenset(self._all)

    async def run(self, job: str, arguments: Mapping[str, Any], *texts: str | bytes) -> Any:
        """Return the result of the job for the texts, HTML first. Raises `ParserFailed`."""
        parts = [utf_8(text) if isinstance(text, str) else text for text in texts]
        sizes = [len(part) for part in parts]
        if sum(sizes) > _MOST_BODY_BYTES:
            raise ParserFailed(f"the page has {sum(sizes):,} bytes; at most {_MOST_BODY_BYTES:,} are parsed")
        head = _json((job, arguments, sizes))
        request = b"".join((REQUEST.pack(len(head), sum(sizes)), head, *parts))
        try:
            async with asyncio.timeout(self.params.wait_s):
                return await self._run(request)
        except TimeoutError:
            raise ParserFailed(f"no parser was free within {self.params.wait_s:g} s", innocent=True) from None

    async def _run(self, request: bytes) -> Any:
        async with self._places:
            for _ in range(TRIES):
                parser = await self._waiting() or await self._start()
                is_usable, deadline = False, asyncio.timeout(self.params.job_s)
                try:
                    async with deadline:
                        answer = await _asked(parser.process, request)
                    parser.jobs += 1
                    is_usable = parser.jobs < JOBS
                except (asyncio.IncompleteReadError, ConnectionError):
                    # It died.
                    continue
                except ValueError:
                    raise ParserFailed("its parser answered with what is no JSON") from None
                except TimeoutError:
                    if not deadline.expired():
                        raise
                    raise ParserFailed(f"parsing took more than {self.params.job_s:g} s") from None
                finally:
                    if is_usable:
                        self._idle.append(parser)
                    else:
                        await self._end(parser)
                if isinstance(answer, str):
                    raise ParserFailed(answer)
                return answer
        most = self.params.memory_bytes >> 20
        raise ParserFailed(f"its parser died {TRIES} times (one may hold {most} MiB)")

    async def close(self) -> None:
        """End the processes. No job may be running any more."""
        while self._idle:
            await self._end(self._idle.pop())

    async def _waiting(self) -> _Parser | None:
        """Return a process that waits for a page; that others have ended meanwhile costs the page no try."""
        while self._idle:
            parser = self._idle.pop()
            if parser.process.returncode is None:
                return parser
            await self._end(parser)
        return None

    async def _start(self) -> _Parser:
        # In a session of its own, because a terminal's Ctrl-C is for the farm. Isolated (-I), so that no module is
        # taken from the current folder.
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-m", PROGRAM, str(self.params.memory_bytes)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=kept(os.environ),
                limit=_READ_AHEAD_BYTES,
                start_new_session=True,
            )
        except OSError as error:
            # No memory, no process or no descriptor is left: that is no reason to end the run.
            raise ParserFailed(f"no parser can be started ({error.strerror})", innocent=True) from None
        self._all.add(process.pid)
        self._own(process.pid)
        return _Parser(process)

    async def _end(self, parser: _Parser) -> None:
        pid = parser.process.pid
        if parser.process.returncode is None:
            # Else its number may be that of another process by now.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        self._all.discard(pid)
        # Where the kernel does not end it in time it stays on the reaper's list.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await parser.process.wait()
            self._free(pid)


def _json(head: Any) -> bytes:
    try:
        return orjson.dumps(head)
    except TypeError:
        # Half of a surrogate pair, or an integer of more than 64 bits. What a page says of itself is bounded.
        return utf_8(json.dumps(head, ensure_ascii=False))


async def _asked(process: asyncio.subprocess.Process, request: bytes) -> Any:
    if process.stdin is None or process.stdout is None:
        raise AssertionError("both are pipes")
    if process.stdin.is_closing():
        # uvloop's pipe would raise a RuntimeError: the process ended while it was idle, and that was seen already.
        raise ConnectionResetError
    process.stdin.write(request)
    await process.stdin.drain()
    (length,) = ANSWER.unpack(await process.stdout.readexactly(ANSWER.size))
    if length > _MOST_ANSWER_BYTES:
        raise ParserFailed(
            f"its parser answered with {length:,} bytes; at most {_MOST_ANSWER_BYTES:,} are taken"
        )
    return orjson.loads(await process.stdout.readexactly(length))


@dataclass(frozen=True, slots=True)
class PageTexts:
    """`markdown` and `main_text` are None if not wanted, not found, or failed: then `errors` says why."""

    markdown: str | None = None
    main_text: str | None = None
    truncated: tuple[str, ...] = ()
    errors: tuple[PageError, ...] = field(default=())


NO_TEXTS = PageTexts()
"""The texts of a page without HTML, or if none are wanted."""


def check_packages(*, markdown: bool, main_text: bool) -> None:
    """Raise UsageError if a package is missing that one of these options needs."""
    needed = {"--markdown": "html_to_markdown", "--main-text": "trafilatura"}
    wanted = {"--markdown": markdown, "--main-text": main_text}
    for option, package in needed.items():
        if wanted[option] and find_spec(package) is None:
            raise UsageError(
                f"{option} needs the package {package.replace('_', '-')}; install it with "
                f"{install_command('text')}."
            )


class TextMaker:
    """Makes Markdown and main text of pages in the processes of a pool."""

    def __init__(self, pool: ParserPool, *, markdown: bool, main_text: bool) -> None:
        self._pool = pool
        self._wanted = {"markdown": markdown, "main_text": main_text}

    async def of(self, page: RenderedPage) -> PageTexts:
        """Return the texts of a page; failures are in its `errors`, and are never raised."""
        if not page.html:
            return NO_TEXTS
        names = tuple(name for name, is_wanted in self._wanted.items() if is_wanted)
        try:
            made = await self._pool.run("texts", {**self._wanted, "url": page.final_url}, page.html)
        except ParserFailed as failure:
            message = f"{' and '.join(names)}: {failure}"
            return PageTexts(errors=(PageError("extract", page.final_url, message),))
        cut = names if "html" in page.truncated else tuple(made["truncated"])
        return PageTexts(made["markdown"], made["main_text"], cut)


class PageReader:
    """Reads documents that no browser has rendered, in the processes of a pool."""

    def __init__(self, pool: ParserPool) -> None:
        self._pool = pool

    async def read(
        self, job: str, arguments: Mapping[str, Any], body: bytes, *sheets: bytes
    ) -> dict[str, Any]:
        """Return what a `page` with its style sheets or a `text` says, as `page_reader` has it.

        Raises RendererUnfit.
        """
        try:
            return dict(await self._pool.run(job, arguments, body, *sheets))
        except ParserFailed as failure:
            detail = f"the page was not read: {failure}"
            raise RendererUnfit(FailureKind.CRASH, detail, innocent=failure.innocent) from None


class ItemReader:
    """Reads the items of pages by a declaration, in the processes of a pool."""

    def __init__(self, pool: ParserPool, declaration: Declaration) -> None:
        self._pool = pool
        self._extractor = Extractor(declaration)
        self._declared = declaration.model_dump_json(exclude_defaults=True)

    async def of(self, page: PageContent) -> Extraction:
        """Return the items of a page, without cost if no rule applies to it; failures are in it, never raised."""
        if not self._extractor.matches(page.url):
            return Extraction()
        try:
            found = await self._asked("items", page)
        except ParserFailed as failure:
            message = f"the page was not read: {failure}"
            return Extraction(errors=({"kind": "", "field": "", "selector": "", "message": message},))
        return Extraction(tuple((kind, item) for kind, item in found["items"]), tuple(found["errors"]))

    async def near_misses(self, page: PageContent) -> Mapping[str, str]:
        """Return each selector without a match, with the most similar one that matches. Raises nothing."""
        try:
            return dict(await self._asked("near_misses", page))
        except ParserFailed:
            return {}

    async def _asked(self, job: str, page: PageContent) -> Any:
        captures = self._extractor.captures.values()
        answers = [
            one for one in page.responses if any(rule.covers(one.url, one.content_type) for rule in captures)
        ]
        arguments = {
            "declaration": self._declared,
            "url": page.url,
            "base": page.base,
            "lang": page.lang,
            "json_ld": page.json_ld,
            "responses": [
                (one.url, one.method, one.status, one.content_type, one.body is not None, one.is_cut)
                for one in answers
            ],
        }
        bodies = (one.body for one in answers if one.body is not None)
        return await self._pool.run(job, arguments, page.html, *bodies)
