"""Mutation tests of the frontier's Lua scripts: each mutation must make a test fail.

    python scripts/mutate.py [NAME...]

The package and its tests are copied to a temporary folder, so the tree itself is not changed. The program
prints each mutation that no test notices, and exits with 1 then.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "scripts" / "mutations.toml"
LUA = Path("farm/frontier/lua")
TESTS = (
    "states",
    "scripts",
    "leases",
    "expiry",
    "suspects",
    "nodes",
    "gone_nodes",
    "generations",
    "politeness",
    "start",
    "audit",
    "shards",
    "dead",
    "crawl",
    "entries",
    "seen",
    "server_filter",
    "garbled",
    "model",
)


@dataclass(frozen=True)
class Mutation:
    """A mutation of the list."""

    name: str
    file: str
    old: str
    new: str
    first: str


MUTATIONS = tuple(Mutation(**row) for row in tomllib.loads(LIST.read_text())["mutation"])


def notices(mutation: Mutation, folder: Path) -> bool:
    """Return whether a test fails on the mutated copy; exits where the tests cannot run on it."""
    path = folder / LUA / mutation.file
    sound = path.read_text()
    if mutation.old not in sound:
        sys.exit(f"{mutation.name}: {mutation.file} has no {mutation.old!r} any more; update the mutation.")
    path.write_text(sound.replace(mutation.old, mutation.new))
    tests = [f"tests/frontier/test_{name}.py" for name in sorted(TESTS, key=lambda n: n != mutation.first)]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not slow", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    try:
        ran = subprocess.run(
            [*command, "--timeout", "60", *tests],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    finally:
        path.write_text(sound)
    if ran.returncode not in {0, 1}:
        sys.exit(f"{mutation.name}: the tests cannot run; mend the mutation:\n{ran.stdout}")
    return ran.returncode == 1


def main(names: list[str]) -> int:
    """Try the named mutations, or all."""
    if unknown := set(names) - {mutation.name for mutation in MUTATIONS}:
        sys.exit(f"No mutation is called {', '.join(sorted(unknown))}; scripts/mutations.toml lists them.")
    survivors = []
    with tempfile.TemporaryDirectory(prefix="farm-mutate-") as made:
        folder = Path(made)
        for part in ("farm", "tests/frontier"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        (folder / "tests" / "__init__.py").touch()
        for mutation in MUTATIONS:
            if names and mutation.name not in names:
                continue
            begun = time.monotonic()
            noticed = notices(mutation, folder)
            print(
                f"{'noticed ' if noticed else 'SURVIVED'} {time.monotonic() - begun:6.1f} s  {mutation.name}",
                flush=True,
            )
            if not noticed:
                survivors.append(mutation.name)
    print(
        f"{len(survivors)} of {len(names or MUTATIONS)} survived"
        + "".join(f"\n  {name}" for name in survivors)
    )
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
