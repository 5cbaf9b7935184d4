"""What the image promises, as far as it can be read from its files; `docker/prove.sh` carries them out."""

import json
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tree import ROOT

DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()


def test_the_image_runs_the_farm_as_an_ordinary_user_under_an_init() -> None:
    """In this order: the user comes after everything that root has to do."""
    assert re.search(r"^USER 10001\n(?!.*^(RUN|COPY))", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert 'ENTRYPOINT ["tini", "--", "farm"]' in DOCKERFILE
    install = (ROOT / "docker" / "install.sh").read_text()
    assert {"chromium-headless-shell", "redis-server", "tini"} <= set(install.split())


def test_every_step_of_the_dockerfile_is_one_that_the_proof_knows() -> None:
    """One instruction a line, every RUN a step of install.sh, so that the proof proves the image."""
    instructions = [line.split(maxsplit=1) for line in DOCKERFILE.splitlines() if line and line[0] != "#"]
    known = {
        "FROM",
        "ARG",
        "ENV",
        "WORKDIR",
        "COPY",
        "RUN",
        "VOLUME",
        "USER",
        "HEALTHCHECK",
        "ENTRYPOINT",
        "CMD",
    }
    assert {name for name, _ in instructions} <= known
    runs = [rest for name, rest in instructions if name == "RUN"]
    assert runs == [f"sh docker/install.sh {step}" for step in ("system", "packages", "farm")]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="there is no hadolint for this machine")
def test_the_linter_of_dockerfiles_finds_nothing() -> None:
    """Not even what it takes for a matter of style."""
    hadolint = Path(sys.executable).with_name("hadolint")
    run = subprocess.run([hadolint, ROOT / "docker/Dockerfile"], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "")


def test_redis_keeps_every_write_and_throws_nothing_away() -> None:
    """The frontier's promise needs both."""
    compose = (ROOT / "docker" / "compose.yaml").read_text()
    assert '"--appendonly", "yes"' in compose
    assert '"--maxmemory-policy", "noeviction"' in compose


def test_the_profile_lets_chromium_make_its_sandbox_and_little_else() -> None:
    """Namespaces may be made, mounts and modules not."""
    profile = json.loads((ROOT / "docker" / "seccomp" / "seccomp.json").read_text())
    assert profile["defaultAction"] == "SCMP_ACT_ALLOW"
    (rule,) = profile["syscalls"]
    assert rule["action"] == "SCMP_ACT_ERRNO"
    denied = set(rule["names"])
    assert {"mount", "umount2", "pivot_root", "setns", "bpf", "init_module", "keyctl"} <= denied
    assert not {"clone", "clone3", "unshare", "chroot"} & denied
    assert rule["names"] == sorted(rule["names"])
