"""An engine: one Playwright driver (a Node process) and one Chromium, started, watched and ended together.

It is the unit of failure: whatever dies inside, the whole engine is thrown away and another one takes its
place, and nothing of it is left behind: no process, no folder. What always holds: once `start` has begun,
`close` ends every process that was started, whether `start` succeeded or not.
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

from farm.browser import driver, flags, trust
from farm.browser.driver_errors import ending, playwright_errors
from farm.browser.find import BrowserBinary
from farm.model.errors import BrowserUnavailable
from farm.model.secret import kept
from farm.resources import processes

CLOSE_STEP_S = 3.0
BUSY_DEADLINE_S = 15.0
"""How long an engine that computes may owe its answer; one that does not is lost at the first missing one."""
OVERDUE = 3
"""So many openings in a row that do not end in time, and the engine is taken for broken."""
NO_SANDBOX = ("No usable sandbox", "Failed to move to new namespace", "setuid sandbox")
FLOODED = "flooded"
"""In the engine's folder: the targets that the driver has ended, one a line (`js/quiet.cjs`)."""
STARTING = (Error, OSError, ValueError, subprocess.SubprocessError)
"""What a start fails with on a machine that is not fit: of the browser, the folder, or a process that is gone."""
_starting = asyncio.Lock()
"""The launcher is handed over in the process's environment, so starts take turns."""


@dataclass(frozen=True, slots=True)
class EngineParams:
    """What every engine of a farm is started with."""

    binary: BrowserBinary
    sandbox: bool
    ca_file: Path | None = None
    launch_timeout_s: float = 30.0
    heap_mib: int = 0
    """V8's limit for a heap; 0 leaves its own."""
    images: bool = True
    """Whether images are loaded; where not, the tabs must know it too."""


class Engine:
    """One driver and one browser. `lost` is resolved with the reason when it is found dead."""

    def __init__(self, number: int, params: EngineParams, folder: Path, own: Callable[[int], None]) -> None:
        self.name = f"engine-{number}"
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.user_agent = ""
        self.frames_on_demand = params.binary.headless_shell
        self.frames = asyncio.Lock()
        """Held while a frame is made: two at once kill the GPU process."""
        self.pids: tuple[int, ...] = ()
        self._params = params
        self._folder = folder / self.name
        self._own = own
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None
        self._health_session: CDPSession | None = None
        self._silent_s = 0.0
        self._overdue = 0
        self._opening = asyncio.Lock()
        self.retiring = False
        """Whether it is to be replaced: it gets no new context."""
        self.retiring_since = self.started_at = 0.0
        self.opening = self.took_ms = self.used_bytes = 0
        self.proven = False
        """Whether a page was shown on it."""

    async def start(self) -> None:
        """Start both processes; raises BrowserUnavailable with the reason, and leaves nothing running then."""
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
            # Cancelled, or a bug of ours.
            await self.close()
            raise

    async def _start(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True)
        if self._params.ca_file is not None:
            await asyncio.to_thread(_trust, self._folder, self._params.ca_file)
        async with _starting:
            before = os.environ.get(driver.NODE_VARIABLE)
            os.environ[driver.NODE_VARIABLE] = str(driver.write_launcher(self._folder, driver.node_path()))
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
            executable_path=flags.write_launcher(self._folder, self._params.binary.path),
            headless=True,
            args=flags.launch_arguments(
                self._params.heap_mib, frames_on_demand=self.frames_on_demand, images=self._params.images
            ),
            ignore_default_args=list(flags.UNWANTED_DEFAULTS),
            chromium_sandbox=self._params.sandbox,
            proxy={"server": flags.NOWHERE},
            env={**kept(os.environ), "HOME": str(self._folder), "TMPDIR": str(self._folder)},
            # The farm drains on a signal; the driver must not close the browser under it.
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
        """The running browser; raises BrowserUnavailable when the engine is not up."""
        if self._browser is None or self.lost.done():
            raise BrowserUnavailable(f"{self.name} is not up")
        return self._browser

    async def open_page(self, context: BrowserContext, deadline_s: float) -> tuple[Page, int]:
        """Open the context's page and tell which renderer process has it; 0 where that cannot be told.

        Pages open one after the other, so the renderer that is new afterwards is the page's. It keeps it, because
        a context serves one site. When a window of another page opens at the same moment nobody's it is. Raises
        TimeoutError; the deadline begins with the page's turn, or one that hangs would be held against the next.
        """
        async with self._opening, asyncio.timeout(deadline_s):
            before = self._renderers()
            page = await context.new_page()
            new = self._renderers() - before
        return page, new.pop() if len(new) == 1 else 0

    def started(self, begun: float, now: float) -> None:
        """Note when its start began, and that it is up now, by the pool's clock."""
        self.started_at, self.took_ms = now, round((now - begun) * 1000)

    @contextlib.contextmanager
    def opens_tab(self) -> Iterator[None]:
        """Count a tab that is being opened on it."""
        self.opening += 1
        try:
            yield
        finally:
            self.opening -= 1

    def showed_page(self) -> None:
        """Note that a page was shown on it: it can live on this machine."""
        self.proven = True

    def measured(self, used_bytes: int) -> None:
        """Note what its own processes hold, the renderers left out."""
        self.used_bytes = used_bytes

    def why_crashed(self, target: str) -> str:
        """Return why the page of this target crashed: the driver ends one that floods the browser."""
        flooded = ""
        with contextlib.suppress(OSError):
            flooded = (self._folder / FLOODED).read_text(encoding="ascii", errors="replace")
        is_flood = bool(target) and target in flooded.splitlines()
        return "the page flooded the browser with events and was ended" if is_flood else "the page crashed"

    def opened(self, failure: str = "") -> None:
        """Count the openings in a row that came to nothing; the engine is lost with the last that it may have."""
        self._overdue = self._overdue + 1 if failure else 0
        if self._overdue >= OVERDUE:
            self.mark_lost(f"{failure}, {self._overdue} times in a row")

    def retire(self, now: float) -> None:
        """Let the engine go when its last context has gone."""
        self.retiring, self.retiring_since = True, now

    def has(self, pid: int) -> bool:
        """Whether the process is one of this engine's renderers."""
        return pid in self._renderers()

    def _renderers(self) -> set[int]:
        return {pid for pid in processes.descendants(self.pids[1]) if processes.is_renderer(pid)}

    def mark_lost(self, reason: str) -> None:
        """Say that the engine is dead; whoever waits on `lost` hears of it once."""
        if not self.lost.done():
            self.lost.set_result(reason)

    async def check(self, deadline_s: float) -> None:
        """Ask the browser through the driver for a sign of life; lose the engine when none comes.

        `is_connected` stays true after the driver's death, so it is no such sign.
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
                # The farm itself did not run, as on a machine that slept: that says nothing of the browser.
                return
            self._silent_s += deadline_s
            # What computes is alive, and on a machine that has too much to do it may just not have come to it.
            moved = all(now > then for now, then in zip(_cpu_s(self.pids), before, strict=False))
            if not moved or self._silent_s >= BUSY_DEADLINE_S:
                self.mark_lost(f"no sign of life for {self._silent_s:g} s")
        except Error as error:
            self.mark_lost(str(error).partition("\n")[0] or type(error).__name__)

    async def close(self) -> None:
        """End both processes, politely while that works, and remove the engine's folder."""
        self.mark_lost("closed")
        try:
            await self._close_politely()
        finally:
            # Whatever came of that.
            await self._kill()

    async def _close_politely(self) -> None:
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
            # A start that was cut short: the driver may have said its number after all.
            with contextlib.suppress(OSError, ValueError):
                self._adopt(driver.driver_pid(self._folder))
        await asyncio.to_thread(processes.kill_groups, self.pids, CLOSE_STEP_S)
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    def _adopt(self, pid: int) -> None:
        self.pids = (*self.pids, pid)
        self._own(pid)


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
    """Make one sentence of a failed launch."""
    text = error.message if isinstance(error, Error) else str(error)
    if any(words in text for words in NO_SANDBOX):
        return f"{binary.path} cannot use its sandbox here; allow user namespaces, or give --no-sandbox."
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    missing = next((line for line in lines if "error while loading shared libraries" in line), None)
    reason = missing or (lines[0] if lines else type(error).__name__)
    return f"{binary.path} cannot be started ({reason}); run `farm doctor`."
