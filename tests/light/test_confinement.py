"""What confines the engine: a hostile program in its place reaches nothing but the gateway."""

import asyncio
import json
import os
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from farm.light import engine as engine_module
from farm.light import launcher
from farm.light.engine import LightEngine
from farm.light.permits import Permits
from farm.light.program import ProgramParams
from tests.light import attacker
from tests.light.conftest import lighting, visit

CONTROL = "reaches the gateway"
NOT_HERE = {
    "reads the farm's memory",
    "connects elsewhere by IPv6",
    "makes a namespace",
    "connects by another protocol",
    "connects with its first bytes",
    "traces the farm",
    "takes all memory",
}
"""What not every machine lets a program do that is not confined."""


@pytest.fixture
def servers() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Listen at two ports of loopback: the gateway's, and one of something else."""
    with socket.create_server(("127.0.0.1", 0)) as gateway, socket.create_server(("127.0.0.1", 0)) as other:
        yield gateway, other


@asynccontextmanager
async def attacking(
    folder: Path, gateway: int, elsewhere: int, monkeypatch: pytest.MonkeyPatch, *, confined: bool
) -> AsyncIterator[tuple[dict[str, str], LightEngine]]:
    """Start the attacker as the engine is started; yield what came of its attacks while it runs."""
    secret, spare, program = folder / "secret", folder / "spare", folder / "attacker.py"
    secret.write_text("secret")
    secret.chmod(0o600)
    spare.write_text("")
    shutil.copy(attacker.__file__, program)
    victim = await asyncio.create_subprocess_exec("sleep", "60")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(folder / "socket"))
    listening.listen()
    aim = {
        "secret": str(secret),
        "spare": str(spare),
        "socket": str(folder / "socket"),
        "victim": victim.pid,
        "gateway": gateway,
        "elsewhere": elsewhere,
        "launcher": launcher.__file__,
        "confined": confined,
    }
    program.with_suffix(".json").write_text(json.dumps(aim))
    monkeypatch.setattr(engine_module, "launcher", SimpleNamespace(__file__=str(program)))
    engine = LightEngine(1, ProgramParams(Path("/bin/true")), folder / "e", lambda _: None, lambda _: None)
    permits = None
    try:
        listener = await asyncio.to_thread(engine._launch)
        permits = Permits(listener, {gateway}, lambda: None) if confined else None
        async with asyncio.timeout(20):
            reader, writer = await _connected(engine._socket)
            told = json.loads(await reader.read())
        yield told, engine
        writer.close()
    finally:
        if permits is not None:
            permits.close()
        await engine.close()
        listening.close()
        victim.kill()
        await victim.wait()


async def _connected(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    while True:
        try:
            return await asyncio.open_unix_connection(str(path))
        except OSError:
            # Until it has attacked it does not listen.
            await asyncio.sleep(0)


async def test_a_hostile_engine_reaches_nothing_but_the_gateway(
    tmp_path: Path, servers: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file, no other connection, no process, no memory without end."""
    gateway, other = (one.getsockname()[1] for one in servers)
    async with attacking(tmp_path, gateway, other, monkeypatch, confined=True) as (told, engine):
        assert told.pop(CONTROL) == "done"
        assert [name for name, outcome in told.items() if outcome == "done"] == []
        assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "spare").exists()
        status = _of_process(engine.pid, "status")
        assert "NoNewPrivs:\t1" in status
        assert "Seccomp:\t2" in status
        assert "CapEff:\t0000000000000000" in status
        assert "CapBnd:\t0000000000000000" in status or os.geteuid() != 0


async def test_without_it_the_attacks_work(
    tmp_path: Path, servers: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that what is refused above is refused by the confinement."""
    gateway, other = (one.getsockname()[1] for one in servers)
    async with attacking(tmp_path, gateway, other, monkeypatch, confined=False) as (told, _):
        failed = {
            name: outcome for name, outcome in told.items() if outcome != "done" and name not in NOT_HERE
        }
        assert failed == {}


async def test_the_real_engine_is_confined(tmp_path: Path) -> None:
    """From its first page on, its threads too."""
    async with lighting(tmp_path / "l") as lights:
        slot = lights.slots["01"]
        with pytest.raises(Exception, match="network"):
            await visit(slot, "http://127.0.0.1:1/")
        pid = lights.pids[0]
        threads = [path.name for path in Path(f"/proc/{pid}/task").iterdir()]  # noqa: ASYNC240 - of no disk
        for status in (_of_process(pid, f"task/{thread}/status") for thread in threads):
            assert "Seccomp:\t2" in status
            assert "CapPrm:\t0000000000000000" in status
        assert _of_process(pid, "environ") == "LIGHTPANDA_DISABLE_TELEMETRY=true\0"


def _of_process(pid: int, what: str) -> str:
    return Path(f"/proc/{pid}/{what}").read_text()
