"""A program in the engine's place: confined by the engine's own launcher, it tries all that it must not do.

What it is to attack stands in the JSON beside it. It tells what came of each attack to whoever connects to the
socket that the engine would listen on: `done` where it worked, else why not. Standard library only.
"""

import ctypes
import errno
import importlib.util
import json
import mmap
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

FAST_OPEN = 0x20000000
TRACE_ATTACH = 16
TOO_MUCH = 4 * 2**30
NEW_USER = 0x10000000


def attacks(aim: dict[str, Any]) -> dict[str, Callable[[], object]]:
    """Return the attacks by name; each raises OSError or MemoryError where it fails."""
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getppid()

    def called(result: int) -> None:
        if result < 0:
            raise OSError(ctypes.get_errno(), "refused")

    def connected(
        address: Any, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, protocol: int = 0
    ) -> None:
        with socket.socket(family, kind, protocol) as made:
            made.settimeout(2)
            made.connect(address)

    def opened_fast() -> None:
        with socket.socket() as made:
            made.settimeout(2)
            made.sendto(b"x", FAST_OPEN, ("127.0.0.1", aim["elsewhere"]))

    def forked() -> None:
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)

    def told() -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as made:
            made.sendto(b"x", ("127.0.0.1", aim["elsewhere"]))

    return {
        "reads a file": lambda: os.open(aim["secret"], os.O_RDONLY),
        "reads what all may": lambda: os.open("/etc/passwd", os.O_RDONLY),
        "lists a folder": lambda: list(Path(aim["secret"]).parent.iterdir()),
        "reads the farm's environment": lambda: os.open(f"/proc/{parent}/environ", os.O_RDONLY),
        "reads the farm's memory": lambda: os.open(f"/proc/{parent}/mem", os.O_RDONLY),
        "writes a file": lambda: os.open("made", os.O_WRONLY | os.O_CREAT),
        "writes over a file": lambda: os.open(aim["secret"], os.O_WRONLY),
        "removes a file": lambda: Path(aim["spare"]).unlink(),
        "makes a folder": lambda: Path("made here").mkdir(),
        "connects elsewhere": lambda: connected(("127.0.0.1", aim["elsewhere"])),
        "connects elsewhere by IPv6": lambda: connected(
            ("::ffff:127.0.0.1", aim["elsewhere"]), socket.AF_INET6
        ),
        "connects by another protocol": lambda: connected(("127.0.0.1", aim["elsewhere"]), protocol=262),
        "connects with its first bytes": opened_fast,
        "connects to a socket of the file system": lambda: connected(aim["socket"], socket.AF_UNIX),
        "sends a datagram": told,
        "asks the kernel for its routes": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
        "forks": forked,
        "starts a program": lambda: os.posix_spawn("/bin/true", ["true"], {}),
        "signals the farm": lambda: os.kill(parent, 0),
        "traces the farm": lambda: called(libc.ptrace(TRACE_ATTACH, aim["victim"], None, None)),
        "makes a namespace": lambda: called(libc.unshare(NEW_USER)),
        "takes all memory": lambda: mmap.mmap(-1, TOO_MUCH, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS),
        "reaches the gateway": lambda: connected(("127.0.0.1", aim["gateway"])),
    }


def outcome(attack: Callable[[], object]) -> str:
    """Return what came of an attack."""
    try:
        attack()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    except MemoryError:
        return "ENOMEM"
    return "done"


def main() -> None:
    """Be confined, attack, and tell."""
    given = json.loads(sys.argv[1])
    aim = json.loads(Path(__file__).with_suffix(".json").read_text())
    spec = importlib.util.spec_from_file_location("launcher", aim["launcher"])
    if spec is None or spec.loader is None:
        raise AssertionError(aim["launcher"])
    launcher = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(launcher)
    found = attacks(aim)
    # What follows imports on its first use: what is not there before is never.
    "".encode("idna")
    if aim["confined"]:
        launcher.confine(given)
    else:
        os.chdir(given["folder"])
        socket.send_fds(socket.socket(fileno=given["notify_fd"]), [b"."], [os.open("/dev/null", os.O_RDONLY)])
    with socket.socket(socket.AF_UNIX) as listening:
        path = given["arguments"][given["arguments"].index("--unix-socket") + 1]
        listening.bind(path)
        with suppress(OSError):
            # It is to seem done, and not to be done.
            Path(aim["secret"]).chmod(0o644)
        told = {name: outcome(attack) for name, attack in found.items()}
        listening.listen()
        teller, _ = listening.accept()
        teller.sendall(json.dumps(told).encode())
        teller.shutdown(socket.SHUT_WR)
        teller.recv(1)


if __name__ == "__main__":
    main()
