# ruff: noqa: ASYNC240 - a test may touch a file
"""The private Redis: nothing that a killed farm leaves behind is in its way."""

import asyncio
import os
import resource
import signal
from pathlib import Path

import psutil
import pytest

from farm.frontier import embedded
from farm.frontier.connect import connect
from farm.frontier.embedded import IDENTITY, EmbeddedRedis
from farm.model.errors import FrontierUnavailable, FrontierUnwritable, OutputUnwritable, UsageError
from tests.frontier.support import eventually


async def _keep(url: str, value: str) -> None:
    client = await connect(url)
    await client.command("SET", "kept", value)
    await client.close()


async def _kept(url: str) -> str | None:
    client = await connect(url)
    value = await client.command("GET", "kept")
    await client.close()
    return None if value is None else str(value.decode())


async def test_it_keeps_its_data_and_leaves_nothing_running(folder: Path) -> None:
    """Stopped and started again, on another socket."""
    server = EmbeddedRedis(folder)
    url = await server.start()
    pid = server.pid
    assert pid is not None
    assert EmbeddedRedis.running_url(folder) == url
    client = await connect(url)
    assert client.warnings == ()
    await client.close()
    await _keep(url, "v")
    await server.stop()
    await server.stop()
    assert not psutil.pid_exists(pid)
    assert not Path(url.removeprefix("unix://")).parent.exists()
    assert EmbeddedRedis.running_url(folder) is None
    assert await _kept(await server.start()) == "v"
    await server.stop()


async def test_its_owner_hears_of_its_process_before_anything_else_can_happen(folder: Path) -> None:
    """A farm that is killed while its Redis still loads its data has named it to whoever ends it then."""
    told: list[tuple[int, Path, bool]] = []
    server = EmbeddedRedis(folder, lambda pid, home: told.append((pid, home, (folder / IDENTITY).exists())))
    url = await server.start()
    assert told == [(server.pid, Path(url.removeprefix("unix://")).parent, False)]
    await server.stop()


async def test_ctrl_c_is_not_its_to_answer(folder: Path) -> None:
    """It has a session of its own."""
    server = EmbeddedRedis(folder)
    await server.start()
    assert server.pid is not None
    assert os.getsid(server.pid) == server.pid
    await server.stop()


async def test_a_predecessor_that_still_runs_is_stopped_first(folder: Path) -> None:
    """The farm was killed, its Redis was not; its data are all there."""
    orphan = EmbeddedRedis(folder)
    await _keep(await orphan.start(), "v")
    pid = orphan.pid
    assert pid is not None
    heir = EmbeddedRedis(folder)
    url = await heir.start()
    assert await _kept(url) == "v"
    assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert heir.pid != pid
    await heir.stop()
    await orphan.stop()


async def test_a_killed_predecessor_is_no_obstacle(folder: Path) -> None:
    """Neither are its socket and its folder."""
    dead = EmbeddedRedis(folder)
    url = await dead.start()
    pid = dead.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: EmbeddedRedis.running_url(folder) is None)
    heir = EmbeddedRedis(folder)
    await heir.start()
    assert not Path(url.removeprefix("unix://")).parent.exists()
    await heir.stop()
    await dead.stop()


async def test_a_server_that_is_killed_is_started_again_where_it_was(folder: Path) -> None:
    """On its socket and with its data, and its owner hears of it: those who wait for it wait for nobody else."""
    told: list[int] = []
    server = EmbeddedRedis(folder, lambda pid, _: told.append(pid))
    url = await server.start()
    await _keep(url, "v")
    keeping = asyncio.create_task(server.keep())

    async def outlives_its_process() -> None:
        killed = server.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        await eventually(lambda: server.pid != killed)
        assert await _kept(url) == "v"

    await outlives_its_process()
    await outlives_its_process()
    assert EmbeddedRedis.running_url(folder) == url
    assert told == [*dict.fromkeys(told)]
    assert told[-1] == server.pid
    assert len(told) == 3
    await server.stop()
    async with asyncio.timeout(20):
        await keeping
    assert not any(psutil.pid_exists(pid) for pid in told)


async def test_a_server_that_ends_again_and_again_is_given_up(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reason that it gives: its data have been spoilt under it."""
    monkeypatch.setattr(embedded, "WATCH_S", 0.05)
    server = EmbeddedRedis(folder)
    await server.start()
    assert server.pid is not None
    for manifest in (folder / "appendonlydir").glob("*.manifest"):
        manifest.write_text("nonsense\n")
    os.kill(server.pid, signal.SIGKILL)
    with pytest.raises(FrontierUnavailable, match=r"ended 5 times in a minute: .*manifest"):
        async with asyncio.timeout(60):
            await server.keep()
    await server.stop()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": "x", "started": 0, "socket": "s"}'])
async def test_an_unreadable_identity_is_ignored(folder: Path, content: bytes) -> None:
    """A crash may have torn it."""
    folder.mkdir()
    (folder / IDENTITY).write_bytes(content)
    server = EmbeddedRedis(folder)
    await server.start()
    await server.stop()


async def test_another_process_with_the_number_is_left_alone(folder: Path) -> None:
    """Numbers are used again; the start time tells."""
    folder.mkdir()
    (folder / IDENTITY).write_text(f'{{"pid": {os.getpid()}, "started": 1.0, "socket": "/nowhere/s"}}')
    assert EmbeddedRedis.running_url(folder) is None
    server = EmbeddedRedis(folder)
    await server.start()
    await server.stop()


async def test_a_process_that_serves_another_folder_is_left_alone(folder: Path) -> None:
    """A file that was copied, or written by somebody, names a process of ours by number and start."""
    folder.mkdir(mode=0o700)
    other = await asyncio.create_subprocess_exec("/bin/sleep", "60", cwd="/")
    started = psutil.Process(other.pid).create_time()
    (folder / IDENTITY).write_text(f'{{"pid": {other.pid}, "started": {started}, "socket": "/nowhere/s"}}')
    assert EmbeddedRedis.running_url(folder) is None
    server = EmbeddedRedis(folder)
    await server.start()
    assert other.returncode is None
    await server.stop()
    other.kill()
    await other.wait()


async def test_an_identity_of_another_owner_or_a_link_is_not_trusted(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would name a process to end, and a socket to trust as Redis."""
    server = EmbeddedRedis(folder)
    url = await server.start()
    assert EmbeddedRedis.running_url(folder) == url
    with monkeypatch.context() as patched:
        patched.setattr(os, "geteuid", lambda: os.getuid() + 1)
        with pytest.raises(UsageError, match=r"redis\.json belongs to another user and is not trusted"):
            EmbeddedRedis.running_url(folder)
    (folder / IDENTITY).rename(tmp_path / "elsewhere")
    (folder / IDENTITY).symlink_to(tmp_path / "elsewhere")
    assert EmbeddedRedis.running_url(folder) is None
    await server.stop()


async def test_no_server_on_the_path_is_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to install; nothing is created."""
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(FrontierUnavailable, match="apt install redis-server"):
        await EmbeddedRedis(folder).start()
    assert not folder.exists()


async def test_a_failed_start_says_why(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its log, and its socket's folder is gone."""
    folder.mkdir()
    (folder / "appendonlydir").mkdir()
    (folder / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")
    socket = embedded._private_socket()
    monkeypatch.setattr(embedded, "_private_socket", lambda: socket)
    server = EmbeddedRedis(folder)
    with pytest.raises(FrontierUnavailable, match=r"did not start: .*manifest"):
        await server.start()
    assert server.pid is None
    assert not Path(socket).parent.exists()


async def test_a_long_temporary_folder_is_avoided(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket's path has at most 107 bytes."""
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    server = EmbeddedRedis(folder)
    url = await server.start()
    assert len(url.removeprefix("unix://")) <= 107
    await server.stop()
    assert list(deep.iterdir()) == []


async def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    """It is the output's folder, so the remedy is --output."""
    (tmp_path / "file").touch()
    with pytest.raises(OutputUnwritable, match="--output"):
        await EmbeddedRedis(tmp_path / "file" / "redis").start()


async def test_a_disk_that_takes_nothing_is_said_at_the_start(folder: Path) -> None:
    """And nothing is left running."""
    started: list[int] = []
    server = EmbeddedRedis(folder, lambda pid, _: started.append(pid))
    await server.start()
    await server.stop()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limit[1]))
    try:
        with pytest.raises(OutputUnwritable, match="File too large"):
            await server.start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert len(started) == 2
    assert not any(psutil.pid_exists(pid) for pid in started)


async def test_a_private_server_that_cannot_write_is_not_waited_for(folder: Path) -> None:
    """Any other is, since somebody else may make room there."""
    server = EmbeddedRedis(folder)
    url = await server.start()
    client = await connect(url, is_private=True)
    await client.command("SET", "kept", "v")
    assert server.pid is not None
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))

    async def keep_writing() -> None:
        while True:
            await client.command("SET", "kept", "w")

    with pytest.raises(FrontierUnwritable, match="File too large"):
        await asyncio.wait_for(keep_writing(), 60)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await client.close()
    await server.stop()
    assert await _kept(await server.start()) in {"v", "w"}
    await server.stop()
