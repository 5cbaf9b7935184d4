"""The launcher: a program that confines itself, and then becomes the light engine.

The engine runs untrusted script without a sandbox of its own. So before it starts, the launcher permanently
removes everything that no page needs: files (Landlock), other processes, every system call that is not on the list
(seccomp), privileges, and unlimited memory. Calls that connect, and those that create a Unix socket, wait for an
answer: their notification descriptor is passed to the reader of the other end of NOTIFY_FD (`permits`). It works
for root and for any other user, needs no namespaces, and applies to everything that the engine starts.

Run as `python -IS launcher.py JSON`, with what `engine.py` writes there. Standard library only.
"""

import ctypes
import json
import os
import platform
import resource
import socket
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

PROGRAM_FD = 100
"""By this number, and closed by it, the program is executed: no other execution is allowed."""
UNUSABLE = 71
"""The exit status if the program cannot be confined or started; the reason is written to NOTIFY_FD."""
PORTS_FROM, SCOPES_FROM = 4, 6
"""The versions from which Landlock restricts ports, and signals and abstract sockets."""

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _MAKE_SOCK = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 9
_BIND_TCP, _CONNECT_TCP = 1, 2
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""The number of file rights of each version; later ones have 16."""
_ABSTRACT_SOCKETS, _SIGNALS = 1, 2

_PR_SET_NAME, _PR_CAPBSET_DROP, _PR_SET_SECUREBITS, _PR_SET_NO_NEW_PRIVS = 15, 24, 28, 38
_PR_SET_VMA = 0x53564D41
_KEPT_WITHOUT_ROOT = 0b1111
"""Secure bits: being root gives no capabilities at an execution, for good."""
_CAPABILITIES = 64

_SECCOMP, _EXECVEAT = 317, 322
_SET_FILTER, _NEW_LISTENER = 1, 1 << 3
_AT_EMPTY_PATH = 0x1000
_X86_64 = 0xC000003E
_LOAD, _AND, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x54, 0x15, 0x45, 0x06
_ALLOW, _REFUSE, _KILL, _NOTIFY = 0x7FFF0000, 0x00050000, 0x80000000, 0x7FC00000
_EPERM, _ENOSYS = 1, 38
_CLONE_THREAD, _CLONE_NEW = 0x10000, 0x7E020000
_FAST_OPEN = 0x20000000
_UNIX, _INET, _INET6, _STREAM = 1, 2, 10, 1
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

_ALLOWED = """
brk=12 mmap=9 mprotect=10 munmap=11 mremap=25 madvise=28 mincore=27 pkey_alloc=330 pkey_free=331
pkey_mprotect=329 membarrier=324 memfd_create=319
futex=202 set_tid_address=218 set_robust_list=273 rseq=334 exit=60 exit_group=231 gettid=186 getpid=39
getppid=110 sched_yield=24 sched_getaffinity=204 getcpu=309 sched_getscheduler=145 sched_getparam=143
arch_prctl=158 restart_syscall=219 rt_sigaction=13 rt_sigprocmask=14 rt_sigreturn=15 rt_sigtimedwait=128
sigaltstack=131
clock_gettime=228 clock_getres=229 clock_nanosleep=230 nanosleep=35 gettimeofday=96 time=201 getrandom=318
timerfd_create=283 timerfd_settime=286 timerfd_gettime=287
read=0 write=1 readv=19 writev=20 pread64=17 pwrite64=18 close=3 lseek=8 dup=32 dup2=33 dup3=292 fcntl=72
fstat=5 newfstatat=262 statx=332 stat=4 lstat=6 access=21 faccessat=269 faccessat2=439 readlink=89
readlinkat=267 getdents64=217 getcwd=79 statfs=137 fstatfs=138 ftruncate=77 pipe=22 pipe2=293 fadvise64=221
close_range=436 umask=95
poll=7 ppoll=271 select=23 pselect6=270 epoll_create1=291 epoll_ctl=233 epoll_wait=232 epoll_pwait=281
epoll_pwait2=441 eventfd2=290
accept=43 accept4=288 bind=49 listen=50 shutdown=48 recvfrom=45 recvmsg=47 getsockname=51
getpeername=52 setsockopt=54 getsockopt=55
uname=63 getuid=102 geteuid=107 getgid=104 getegid=108 getrlimit=97 getrusage=98 sysinfo=99 times=100
"""
"""System calls of x86-64 by number that are allowed whatever their arguments.

For memory; for its own threads; for time and chance; for what is open, and what Landlock lets be opened; for
waiting; for connections; and to know who it is, and what the machine has.
"""

Instruction = tuple[int, int, int, int]
_libc = ctypes.CDLL(None, use_errno=True)


class CannotConfine(Exception):
    """This machine cannot confine a program."""


def _call(what: str, number: int, *arguments: Any) -> int:
    done = int(_libc.syscall(ctypes.c_long(number), *arguments))
    if done < 0:
        raise CannotConfine(f"{what}: {os.strerror(ctypes.get_errno())}")
    return done


def limit_resources(data_bytes: int, files: int) -> None:
    """Bound the process's memory and its open files; nothing is written, not even after a crash."""
    for name, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, files),
        (resource.RLIMIT_DATA, data_bytes),
    ):
        hard = resource.getrlimit(name)[1]
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(name, (allowed, allowed))


def drop_privileges() -> None:
    """Drop all capabilities, and every way to regain one."""
    if os.geteuid() == 0:
        _libc.prctl(_PR_SET_SECUREBITS, _KEPT_WITHOUT_ROOT, 0, 0, 0)
        for capability in range(_CAPABILITIES):
            _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    # Version 3 of the header, this process, and no capability of any kind.
    header, none = struct.pack("=Ii", 0x20080522, 0), bytes(24)
    if _libc.capset(header, none) or _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise CannotConfine(f"privileges cannot be dropped: {os.strerror(ctypes.get_errno())}")


def restrict_files(program: str, folder: str, readable: Iterable[str]) -> None:
    """Allow only the program, readable files, and a socket in the folder; no ports, if Landlock supports that."""
    version = _call("Landlock", _CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(1))
    attributes = struct.pack("=Q", (1 << _RIGHTS.get(version, 16)) - 1)
    if version >= PORTS_FROM:
        attributes += struct.pack("=Q", _BIND_TCP | _CONNECT_TCP)
    if version >= SCOPES_FROM:
        attributes += struct.pack("=Q", _ABSTRACT_SOCKETS | _SIGNALS)
    ruleset = _call(
        "Landlock", _CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint(0)
    )
    rules = [(path, _READ_FILE | _READ_DIR | _EXECUTE) for path in readable]
    for path, rights in (*rules, (program, _READ_FILE | _EXECUTE), (folder, _MAKE_SOCK)):
        try:
            beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        fit = rights if Path(path).is_dir() else rights & (_READ_FILE | _EXECUTE)
        rule = struct.pack("=Qi", fit, beneath)
        _call("Landlock", _ADD_RULE, ruleset, _PATH_BENEATH, rule, ctypes.c_uint(0))
        os.close(beneath)
    _call("Landlock", _RESTRICT_SELF, ruleset, ctypes.c_uint(0))
    os.close(ruleset)


def _low(argument: int) -> int:
    return 16 + 8 * argument


def _only(number: int, *body: Instruction) -> list[Instruction]:
    """Return the instructions for one system call; those of the body end in a verdict."""
    return [(_LOAD, 0, 0, 0), (_EQUAL, 0, len(body), number), *body]


def _if_equal(value: int, verdict: int) -> list[Instruction]:
    return [(_EQUAL, 0, 1, value), (_RETURN, 0, 0, verdict)]


def filter_of(pid: int) -> list[Instruction]:
    """Return the filter of system calls for a process of this id, as instructions of BPF."""
    refuse = (_RETURN, 0, 0, _REFUSE | _EPERM)
    allow = (_RETURN, 0, 0, _ALLOW)
    none = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, _X86_64), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    numbers = [int(one.partition("=")[2]) for one in _ALLOWED.split()]
    plain = [one for number in numbers for one in _if_equal(number, _ALLOW)]

    def when_no_bit(number: int, argument: int, bits: int) -> list[Instruction]:
        return _only(number, (_LOAD, 0, 0, _low(argument)), (_ANY_BIT, 0, 1, bits), refuse, allow)

    def when_one_of(number: int, argument: int, values: Iterable[int]) -> list[Instruction]:
        tests = [one for value in values for one in _if_equal(value, _ALLOW)]
        return _only(number, (_LOAD, 0, 0, _low(argument)), *tests, refuse)

    kind = [(_LOAD, 0, 0, _low(1)), (_AND, 0, 0, 0xF), (_EQUAL, 1, 0, _STREAM), refuse]
    protocol = [(_LOAD, 0, 0, _low(2)), (_EQUAL, 2, 0, 0), (_EQUAL, 1, 0, 6), refuse]
    sockets = [
        *kind,
        # Other protocols, MPTCP say, go past Landlock.
        *protocol,
        (_LOAD, 0, 0, _low(0)),
        *_if_equal(_INET, _ALLOW),
        *_if_equal(_INET6, _ALLOW),
        *_if_equal(_UNIX, _NOTIFY),
        refuse,
    ]
    clone = [
        (_LOAD, 0, 0, _low(0)),
        (_ANY_BIT, 1, 0, _CLONE_THREAD),
        refuse,
        (_ANY_BIT, 0, 1, _CLONE_NEW),
        refuse,
        allow,
    ]
    execute = [
        (_LOAD, 0, 0, _low(0)),
        (_EQUAL, 1, 0, PROGRAM_FD),
        refuse,
        (_LOAD, 0, 0, _low(4)),
        *_if_equal(_AT_EMPTY_PATH, _ALLOW),
        refuse,
    ]
    return [
        *none,
        *plain,
        *_only(41, *sockets),
        *_only(56, *clone),
        *_only(_EXECVEAT, *execute),
        *when_no_bit(257, 2, _WRITES),  # openat
        *when_no_bit(2, 1, _WRITES),  # open
        *when_no_bit(44, 3, _FAST_OPEN),  # sendto, which connects by this flag, past Landlock
        *when_no_bit(46, 2, _FAST_OPEN),  # sendmsg
        *_only(42, (_RETURN, 0, 0, _NOTIFY)),  # connect
        # chmod seems to be done: of its socket the mask has done it.
        *_only(90, (_RETURN, 0, 0, _REFUSE)),
        *when_one_of(62, 0, [pid]),  # kill
        *when_one_of(234, 0, [pid]),  # tgkill
        *when_one_of(302, 0, [0, pid]),  # prlimit64
        *when_one_of(157, 0, [_PR_SET_NAME, _PR_SET_VMA]),  # prctl
        *when_one_of(16, 1, [0x5401, 0x5421, 0x541B]),  # ioctl: TCGETS, FIONBIO, FIONREAD
        # `clone3` among them: its flags are in memory, where no filter can look.
        (_RETURN, 0, 0, _REFUSE | _ENOSYS),
    ]


def restrict_system_calls() -> int:
    """Install the filter; return its notification descriptor."""
    if platform.machine() != "x86_64" or sys.maxsize < 2**32:
        raise CannotConfine(f"system calls of {platform.machine()} are not known here")
    program = b"".join(struct.pack("=HBBI", *one) for one in filter_of(os.getpid()))
    code = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("@HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    return _call("seccomp", _SECCOMP, _SET_FILTER, ctypes.c_ulong(_NEW_LISTENER), described)


def _become(program_fd: int, program: str, arguments: Iterable[str]) -> NoReturn:
    words = [program, *arguments]
    argv = (ctypes.c_char_p * (len(words) + 1))(*map(os.fsencode, words), None)
    named = b"LIGHTPANDA_DISABLE_TELEMETRY=true"
    envp = (ctypes.c_char_p * 2)(named, None)
    _call("execveat", _EXECVEAT, program_fd, b"", argv, envp, _AT_EMPTY_PATH)
    raise AssertionError("an execution does not return")


def confine(given: dict[str, Any]) -> None:
    """Confine this process permanently, and pass on the descriptor at which calls wait for an answer."""
    os.chdir(given["folder"])
    os.umask(0o077)
    notify = socket.socket(fileno=given["notify_fd"])
    notify.set_inheritable(False)
    limit_resources(given["data_bytes"], given["files"])
    drop_privileges()
    restrict_files(given["program"], given["folder"], given["readable"])
    listener = restrict_system_calls()
    socket.send_fds(notify, [b"."], [listener])
    os.close(listener)
    notify.detach()


def main(given: dict[str, Any]) -> NoReturn:
    """Confine this process, and become the program."""
    os.dup2(os.open(given["program"], os.O_RDONLY | os.O_CLOEXEC), PROGRAM_FD, inheritable=False)
    confine(given)
    _become(PROGRAM_FD, given["program"], given["arguments"])


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except (CannotConfine, OSError) as why:
        # Whoever waits at the other end reads it.
        os.write(int(json.loads(sys.argv[1])["notify_fd"]), str(why).encode())
        sys.exit(UNUSABLE)
