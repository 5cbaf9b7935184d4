"""Run a command under a seccomp profile, as a container engine would: `confine.py PROFILE COMMAND...`.

For `prove.sh`; it reads the part of the profile's format that `seccomp.json` uses, and calls libseccomp itself,
which is on every Debian because apt needs it.
"""  # noqa: INP001

import ctypes
import json
import os
import sys
from pathlib import Path

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_EPERM = 1


def confine(profile: Path) -> None:
    """Apply the profile to this process and its future children."""
    rules = json.loads(profile.read_text())
    if rules["defaultAction"] != "SCMP_ACT_ALLOW":
        raise SystemExit(f"{profile}: only profiles that allow by default are understood")
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ALLOW)))
    for rule in rules["syscalls"]:
        for name in rule["names"]:
            number = library.seccomp_syscall_resolve_name(name.encode())
            # System calls of other architectures have no number here; libseccomp rejects them, which is fine.
            library.seccomp_rule_add(context, ctypes.c_uint32(_ERRNO | _EPERM), number, ctypes.c_uint(0))
    if library.seccomp_load(context) != 0:
        raise SystemExit("the profile could not be loaded")


if __name__ == "__main__":
    confine(Path(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606
