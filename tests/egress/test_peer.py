"""Gates answer processes of the farm's own user alone."""

import asyncio
import os
import socket
import subprocess
import sys

import pytest

from farm.egress import peer
from farm.egress.peer import PeerCheck
from tests.egress.conftest import OpenSlotProxy
from tests.egress.servers import answering, listening, ok

NOBODY = 65534
ASKS = r"""
trap '' PIPE
exec 3<>/dev/tcp/127.0.0.1/$0 || exit 0
printf 'GET http://127.0.0.1:%s/ HTTP/1.1\r\nHost: x\r\n\r\n' "$1" 2>/dev/null >&3
head -c 12 <&3 2>/dev/null
exit 0
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel does not tell elsewhere")


@linux
def test_the_kernel_says_whose_a_connection_is() -> None:
    """Ours is; one that is not there is nobody's."""
    check = PeerCheck()
    assert check.is_possible
    server = socket.create_server(("127.0.0.1", 0))
    with server, socket.create_connection(server.getsockname()), server.accept()[0] as far:
        assert check.is_own(far.getpeername(), far.getsockname())
        assert not check.is_own(("127.0.0.1", 1), far.getsockname())
    check.close()


@linux
@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
async def test_another_user_is_not_answered(open_slot_proxy: OpenSlotProxy) -> None:
    """Not by a gate whose own user gets everything by the same port."""
    async with listening(answering(ok(b"inside"))) as origin:
        gate = await open_slot_proxy()
        caller = await said_by(ASKS, str(gate.port), str(origin.port), user=NOBODY)
        assert caller == ""
        assert origin.connections == 0
        assert await said_by(ASKS, str(gate.port), str(origin.port), user=os.geteuid()) == "HTTP/1.1 200"


async def said_by(source: str, *arguments: str, user: int) -> str:
    """Run a shell script as a user and return what it says."""

    def run() -> str:
        done = subprocess.run(
            ["/bin/bash", "-c", source, *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
            user=user,
            group=user,
            extra_groups=[],
            cwd="/",
        )
        return done.stdout

    return await asyncio.to_thread(run)


def test_where_the_kernel_does_not_tell_everybody_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gate that answered nobody would be no gate."""
    monkeypatch.setattr(peer, "_diagnostics", lambda: None)
    check = PeerCheck()
    assert not check.is_possible
    assert check.is_own(("127.0.0.1", 1), ("127.0.0.1", 2))


@linux
def test_an_answer_that_fails_costs_one_connection_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is asked about anew, on another socket."""
    check = PeerCheck()

    def broken(*_: object) -> int:
        raise OSError("interrupted")

    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        far, _ = server.accept()
        with far, monkeypatch.context() as patched:
            patched.setattr(peer, "_uid_of", broken)
            patched.setattr(
                peer, "_diagnostics", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)
            )
            assert not check.is_own(far.getpeername(), far.getsockname())
            patched.undo()
            assert check.is_own(far.getpeername(), far.getsockname())
    check.close()
