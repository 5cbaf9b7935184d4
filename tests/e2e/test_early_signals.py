"""Signals while a command starts: it ends as cleanly as one that runs, whenever they come."""

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from fixtures.shop import serve_shop_in_thread
from tests.e2e.farm_process import Running, crawl, start, until
from tests.processes import alive

END_S = 30.0
SHORT_S = 0.002


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Make a folder for all temporary files of a farm: by it its processes are known."""
    folder = tmp_path / "t"
    folder.mkdir()
    return folder


def run(out: Path, temporary: Path, *more: str) -> Running:
    """Start a crawl of a site that refuses every connection; its start is what matters."""
    return start(
        *("run", "http://127.0.0.1:1/", "--allow-network", "127.0.0.0/8", "--live", "off"),
        *("--contexts", "2", "--output", str(out), *more),
        folder=out,
        environment={"TMPDIR": str(temporary)},
    )


def left_of(temporary: Path) -> set[psutil.Process]:
    """Return the processes whose temporary files are in the folder."""
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("TMPDIR", "").startswith(str(temporary)):
                found.add(process)
    return found


def assert_clean(running: Running, temporary: Path, *codes: int) -> None:
    """Wait for the end: the exit status is the signal's, no bug is told of, and nothing is left."""
    ended = running.finish(END_S)
    assert ended.code in codes, ended.output
    assert "Traceback" not in ended.output
    assert "Error" not in ended.output
    until(lambda: not alive(left_of(temporary)), f"the end of {left_of(temporary)}", END_S)
    assert list(temporary.iterdir()) == []


def has(folder: Path, pattern: str) -> Callable[[], bool]:
    """Return whether the folder has come to hold such a file."""
    return lambda: any(folder.glob(pattern))


MOMENTS = {
    "at once": ("t", ""),
    "the output is locked": ("out", ".farm/lock"),
    "the socket of Redis has a folder": ("t", "farm-redis-*"),
    "Redis runs": ("out", ".farm/redis/redis.json"),
    "the log is open": ("out", "farm.log"),
    "the node is assembled": ("t", "farm-[!r]*"),
    "the sink is open": ("out", "pages.jsonl"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_sigterm_at_any_moment_of_the_start_is_clean(moment: str, out: Path, temporary: Path) -> None:
    """Nothing is left running, no temporary file, and the output can be used by the next run."""
    folder, pattern = MOMENTS[moment]
    running = run(out, temporary)
    if pattern:
        reached, pause = has(out.parent / folder, pattern), threading.Event()
        until(lambda: reached() or running.process.poll() is not None or pause.wait(SHORT_S), moment)
    running.signal(signal.SIGTERM)
    # Before the interpreter has come to the farm's own code it is the signal that ends the process.
    assert_clean(running, temporary, *((143,) if pattern else (143, -signal.SIGTERM)))


@contextlib.contextmanager
def silent_server() -> Iterator[tuple[str, threading.Event]]:
    """Listen as a Redis that never answers; the event says that somebody has connected."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        connected, kept = threading.Event(), []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    kept.append(server.accept()[0])
                    connected.set()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"redis://127.0.0.1:{server.getsockname()[1]}", connected
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for one in kept:
            one.close()


SIGNALS = [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]


@pytest.mark.parametrize(("number", "code"), SIGNALS)
@pytest.mark.parametrize("command", ["run", "status", "pause", "add"])
def test_a_signal_while_redis_is_waited_for_is_clean(
    command: str, number: signal.Signals, code: int, out: Path, temporary: Path
) -> None:
    """Whichever command waits: the wait may last for minutes."""
    with silent_server() as (url, connected):
        waits = ("--redis", url, "--redis-patience", "5m")
        if command == "run":
            running = run(out, temporary, *waits)
        else:
            urls = ("http://127.0.0.1:1/",) if command == "add" else ()
            environment = {"TMPDIR": str(temporary)}
            running = start(command, *urls, *waits[:2], folder=out, environment=environment)
        assert connected.wait(END_S)
        running.signal(number)
        assert_clean(running, temporary, code)


def test_a_second_signal_during_the_start_ends_it_at_once(out: Path, temporary: Path) -> None:
    """The reaper clears up what was started."""
    with silent_server() as (url, connected):
        running = run(out, temporary, "--redis", url, "--redis-patience", "5m")
        assert connected.wait(END_S)
        running.process.send_signal(signal.SIGSTOP)
        running.process.send_signal(signal.SIGTERM)
        running.process.send_signal(signal.SIGINT)
        running.process.send_signal(signal.SIGCONT)
        ended = running.finish(END_S)
        assert ended.code in {130, 143}
        assert "Traceback" not in ended.output
        until(lambda: not alive(left_of(temporary)), f"the end of {left_of(temporary)}", END_S)


def test_a_crawl_whose_start_was_ended_starts_again(out: Path) -> None:
    """Its lock is free, and its crawl is whole."""
    with serve_shop_in_thread() as shop:
        running = crawl(out, shop.url, depth="0")
        until(has(out, ".farm/redis/redis.json"), "Redis")
        running.signal(signal.SIGTERM)
        assert running.finish(END_S).code == 143
        again = crawl(out, shop.url, depth="0").finish()
        assert again.code == 0, again.output
        assert again.urls == [shop.url]
