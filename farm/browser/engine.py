"""An engine: one Playwright driver (a Node process) and one Chromium, started, watched and ended together.

It is the unit of failure: if either dies, the whole engine is replaced. Invariant: once `start` has begun, `close`
ends every process that was started and removes the engine's folder, whether `start` succeeded or not.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import (
    Browser,
    BrowserContext,
    CDPSession,
    Error,
    Page,
    Playwright,
    async_playwright,
)

from farm.browser import chromium, driver, trust
from farm.browser.chromium import BrowserBinary
from farm.browser.errors import ending, playwright_errors
from farm.model.errors import BrowserUnavailable
from farm.model.secret import kept
from farm.resources import processes

CLOSE_STEP_S = 3.0
CLOSE_S = 5.0
BUSY_DEADLINE_S = 15.0
"""How long an engine that uses CPU may fail to answer; an idle one is lost at the first missed answer."""
OVERDUE = 3
"""After this many timeouts in a row when opening contexts, the engine counts as broken."""
NO_SANDBOX = ("No usable sandbox", "Failed to move to new namespace", "setuid sandbox")
FLOODED = "flooded"
"""A file in the engine's folder: the targets that the driver has ended, one a line (`js/watch.cjs`)."""
STARTING = (Error, OSError, ValueError, subprocess.SubprocessError)
"""The errors of a start that fails because of the browser, the folder, or a process that has exited."""
_starting = asyncio.Lock()
"""Serialises starts: the launcher is passed in this process's environment."""


@dataclass(frozen=True, slots=True)
class EngineParams:
    """The parameters of every engine."""

    binary: BrowserBinary
    sandbox: bool
    ca_file: Path | None = None
    launch_timeout_s: float = 30.0
    heap_mib: int = 0
    """V8's heap limit; 0 keeps its default."""
    images: bool = True
    """Whether images are loaded; `TabParams.images` must agree."""
    windowed: bool = False
    """Whether its pages are shown in windows on the user's display."""
    requests: tuple[str, ...] = ()
    """The types of requests whose events tabs get; they include those that `TabParams` captures."""


class Engine:
    """One driver and one browser. `lost` is resolved with the reason when either is found dead."""

    def __init__(
        self,
        number: int,
        params: EngineParams,
        folder: Path,
        own: Callable[[int], None],
        free: Callable[[int], None],
    ) -> None:
        self.name = f"engine-{number}"
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.user_agent = ""
        self.frames_on_demand = params.binary.headless_shell
        self.knows_marks = True
        """Whether its driver replaces the placeholders of scripts, as far as is known."""
        self.frames = asyncio.Lock()
        """Held while a frame is made: two at once crash the GPU process."""
        self.pids: tuple[int, ...] = ()
        self._params = params
        self._folder = folder / self.name
        self._own = own
        self._free = free
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None
        self._health_session: CDPSession | None = None
        self._silent_s = 0.0
        self._overdue = 0
        self._opening = asyncio.Lock()
        self.retiring = False
        """Whether it will be replaced: it gets no new context."""
        self.retiring_since = self.started_at = 0.0
        self.opening = self.took_ms = self.used_bytes = 0
        self.proven = False
        """Whether it has rendered a page."""

    async def start(self) -> None:
        """Start both processes. Raises BrowserUnavailable with the reason, and leaves nothing running then."""
        try:
            with playwright_errors():
                async with asyncio.timeout(self._params.launch_timeout_s):
                    await self._start()
        except TimeoutError as error:
            await self.close()
            raise BrowserUnavailable(
                f"{self._params.binary.path} did not start within {self._params.launch_timeout_s:g} s; "
                "run `farm doctor`."
            ) from error
        except STARTING as error:
            await self.close()
            raise BrowserUnavailable(_why(self._params.binary, error)) from error
        except BaseException:
            # Cancelled, or a bug.
            await self.close()
            raise

    async def _start(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True)
        if self._params.ca_file is not None:
            await asyncio.to_thread(_trust, self._folder, self._params.ca_file)
        async with _starting:
            before = os.environ.get(driver.NODE_VARIABLE)
            os.environ[driver.NODE_VARIABLE] = str(
                driver.write_launcher(self._folder, driver.node_path(), self._params.requests)
            )
            try:
                manager = async_playwright()
                self._playwright = await manager.start()
                driver.use_orjson(manager)
            finally:
                if before is None:
                    del os.environ[driver.NODE_VARIABLE]
                else:
                    os.environ[driver.NODE_VARIABLE] = before
        self._adopt(driver.driver_pid(self._folder))
        self._browser = await self._playwright.chromium.launch(
            executable_path=chromium.write_launcher(self._folder, self._params.binary.path),
            headless=not self._params.windowed,
            args=chromium.launch_arguments(
                self._params.heap_mib,
                frames_on_demand=self.frames_on_demand,
                images=self._params.images,
                windowed=self._params.windowed,
            ),
            ignore_default_args=list(chromium.UNWANTED_DEFAULTS),
            chromium_sandbox=self._params.sandbox,
            proxy={"server": chromium.NOWHERE},
            env={**chromium.environment(self._folder, windowed=self._params.windowed)},
            # The farm drains on a signal, so the driver must not close the browser.
            handle_sigint=False,
            handle_sigterm=False,
            handle_sighup=False,
            timeout=self._params.launch_timeout_s * 1000,
        )
        for child in processes.children(self.pids[0]):
            self._adopt(child)
        self._browser.on("disconnected", lambda _: self.mark_lost("the browser went away"))
        self._health_session = await self._browser.new_browser_cdp_session()
        version = await self._health_session.send("Browser.getVersion")
        self.user_agent = str(version["userAgent"]).replace("HeadlessChrome", "Chrome")

    @property
    def browser(self) -> Browser:
        """The running browser; raises BrowserUnavailable if the engine is not running."""
        if self._browser is None or self.lost.done():
            raise BrowserUnavailable(f"{self.name} is not up")
        return self._browser

    async def open_page(self, context: BrowserContext, deadline_s: float) -> tuple[Page, int]:
        """Open the context's page; return it with the process id of its renderer, 0 if that is unknown.

        Pages open one after the other, so the renderer that is new afterwards is the page's; it keeps it, because
        a context serves one site. If another page opens a window at the same moment, the renderer is unknown.
        Raises TimeoutError. The deadline begins when the page's turn comes, so that a page that hangs does not use
        up the next one's time.
        """
        async with self._opening, asyncio.timeout(deadline_s):
            before = self._renderers()
            page = await context.new_page()
            new = self._renderers() - before
        return page, new.pop() if len(new) == 1 else 0

    def started(self, begun: float, now: float) -> None:
        """Record the start, which `begun` then and is complete `now`, by the pool's clock."""
        self.started_at, self.took_ms = now, round((now - begun) * 1000)

    @contextlib.contextmanager
    def opens_tab(self) -> Iterator[None]:
        """Count a tab while it is being opened."""
        self.opening += 1
        try:
            yield
        finally:
            self.opening -= 1

    def showed_page(self) -> None:
        """Record that it has rendered a page: it can run on this machine."""
        self.proven = True

    def measured(self, used_bytes: int) -> None:
        """Record the memory of its own processes, without renderers."""
        self.used_bytes = used_bytes

    def why_crashed(self, target: str) -> str | None:
        """Return why the driver crashed the page of this target: it floods the browser; None if it did not."""
        flooded = ""
        with contextlib.suppress(OSError):
            flooded = (self._folder / FLOODED).read_text(encoding="ascii", errors="replace")
        is_flood = bool(target) and target in flooded.splitlines()
        return "the page flooded the browser with events and was ended" if is_flood else None

    def opened(self, failure: str = "") -> None:
        """Count failed openings in a row; after `OVERDUE` of them the engine is lost."""
        self._overdue = self._overdue + 1 if failure else 0
        if self._overdue >= OVERDUE:
            self.mark_lost(f"{failure}, {self._overdue} times in a row")

    def send_whole(self) -> None:
        """Send complete scripts from now on: this driver does not know their placeholders."""
        self.knows_marks = False

    def retire(self, now: float) -> None:
        """Accept no new contexts; the pool closes the engine after its last one."""
        self.retiring, self.retiring_since = True, now

    def has(self, pid: int) -> bool:
        """Return whether the process is one of this engine's renderers."""
        return pid in self._renderers()

    def _renderers(self) -> set[int]:
        return {pid for pid in processes.descendants(self.pids[1]) if processes.is_renderer(pid)}

    def mark_lost(self, reason: str) -> None:
        """Resolve `lost` with the reason; only the first call counts."""
        if not self.lost.done():
            self.lost.set_result(reason)

    async def check(self, deadline_s: float) -> None:
        """Health check: call the browser through the driver; mark the engine lost if no answer comes.

        `is_connected` stays true after the driver's death, so it cannot be used.
        """
        if self._health_session is None or self.lost.done():
            return
        if any(not processes.is_running(pid) for pid in self.pids):
            self.mark_lost("a process of the engine died")
            return
        before, asked = _cpu_s(self.pids), time.monotonic()
        try:
            async with asyncio.timeout(deadline_s):
                with playwright_errors():
                    await self._health_session.send("Browser.getVersion")
            self._silent_s = 0.0
        except TimeoutError:
            if time.monotonic() - asked > 2 * deadline_s:
                # The farm itself was suspended, as on a sleeping machine: this says nothing about the browser.
                return
            self._silent_s += deadline_s
            # An engine that uses CPU is alive; on an overloaded machine it may answer late.
            moved = all(now > then for now, then in zip(_cpu_s(self.pids), before, strict=False))
            if not moved or self._silent_s >= BUSY_DEADLINE_S:
                self.mark_lost(f"no sign of life for {self._silent_s:g} s")
        except Error as error:
            self.mark_lost(str(error).partition("\n")[0] or type(error).__name__)

    async def close(self) -> None:
        """Close the browser and the driver, kill what remains, and remove the engine's folder."""
        self.mark_lost("closed")
        try:
            await self._close_cleanly()
        finally:
            await self._kill()

    async def _close_cleanly(self) -> None:
        if self._browser is not None:
            with ending():
                async with asyncio.timeout(CLOSE_STEP_S):
                    await self._browser.close()
        if self._playwright is not None:
            with ending():
                async with asyncio.timeout(CLOSE_STEP_S):
                    await self._playwright.stop()

    async def _kill(self) -> None:
        self._browser = self._playwright = self._health_session = None
        if not self.pids:
            # The start was interrupted: the driver may have written its process id since.
            with contextlib.suppress(OSError, ValueError):
                self._adopt(driver.driver_pid(self._folder))
        await asyncio.to_thread(processes.kill_groups, self.pids, CLOSE_STEP_S)
        for pid in self.pids:
            # The kernel gives the number to another process some day, which is nobody's here to kill.
            if not processes.is_running(pid):
                self._free(pid)
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    def _adopt(self, pid: int) -> None:
        self.pids = (*self.pids, pid)
        self._own(pid)


async def close_context(context: BrowserContext, deadline_s: float = CLOSE_S) -> bool:
    """Close within the deadline and say whether that worked."""
    try:
        async with asyncio.timeout(deadline_s):
            # An error means that it is already closed.
            with contextlib.suppress(Error), playwright_errors():
                await context.close()
    except TimeoutError:
        return False
    return True


def _trust(home: Path, ca_file: Path) -> None:
    subprocess.run(
        [sys.executable, "-I", "-S", trust.__file__, str(home), str(ca_file)],
        check=False,
        timeout=20,
        env=kept(os.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
    ).check_returncode()


def _cpu_s(pids: tuple[int, ...]) -> tuple[float, ...]:
    """Return the CPU time of each process in seconds; empty when one of them is gone."""
    try:
        return tuple(processes.cpu_s(pid) for pid in pids)
    except ProcessLookupError:
        return ()


def _why(binary: BrowserBinary, error: Exception) -> str:
    """Return the reason of a failed launch as one sentence."""
    text = error.message if isinstance(error, Error) else str(error)
    if any(words in text for words in NO_SANDBOX):
        return f"{binary.path} cannot use its sandbox here; allow user namespaces, or give --no-sandbox."
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    missing = next((line for line in lines if "error while loading shared libraries" in line), None)
    reason = missing or (lines[0] if lines else type(error).__name__)
    return f"{binary.path} cannot be started ({reason}); run `farm doctor`."
