"""Files of npm packages, fetched once from the registry, without Node.

The registry is the user's: `npm_config_registry`, or npm's setting. Each package must match its pinned digest.
"""

import base64
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from bench.environments import CACHE, NotInstallable

FETCH_S = 120.0


@dataclass(frozen=True, slots=True)
class Package:
    """A package in one version, with the sum that its registry tells."""

    name: str
    version: str
    sha512: str


SWAGGER = Package(
    "swagger-ui-dist",
    "5.35.0",
    "U06rpMtW9V3XPGOBeamTUSr0Z09jMX4IJuANpE/EZbAhw0G8CgwrzU4YmXkn/h0wCDNsXdGarTNNHC3sU8yVUQ==",
)
REDOC = Package(
    "redoc",
    "2.5.4",
    "M6jWhG1qoBnH6TFmzJnstyCZ87HmOY/UzDm78mHiYihEdlV/YcS9ogOo1NlElnJMeLsyxHFe2yFc4sNjHTrABQ==",
)


def unpacked(package: Package) -> Path:
    """Return the folder with the package's files, fetching it if needed; raises NotInstallable."""
    folder = CACHE / "packages" / f"{package.name}-{package.version}"
    if folder.is_dir():
        return folder
    content = _fetched(package)
    if hashlib.sha512(content).digest() != base64.b64decode(package.sha512):
        raise NotInstallable(f"{package.name} {package.version} is not what was pinned; it is not used.")
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        # Python 3.11 has filters from 3.11.4 only; before, what was pinned is trusted.
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
        archive.extractall(draft)  # noqa: S202 - its digest was checked
    try:
        (draft / "package").replace(folder)
    except OSError:
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def _fetched(package: Package) -> bytes:
    url = f"{registry().rstrip('/')}/{package.name}/-/{package.name}-{package.version}.tgz"
    try:
        with urllib.request.urlopen(url, timeout=FETCH_S) as answer:  # noqa: S310 - `registry` says https
            return bytes(answer.read())
    except OSError as error:
        raise NotInstallable(
            f"{package.name} {package.version} cannot be had from the npm registry: {error}"
        ) from error


def registry() -> str:
    """Return the URL of the registry; raises NotInstallable if none is configured."""
    # npm takes it in either case.
    named = next((value for name, value in os.environ.items() if name.lower() == "npm_config_registry"), "")
    if not named and shutil.which("npm"):
        asked = ["npm", "config", "get", "registry"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=False)
        named = done.stdout.strip()
    if not named.startswith("https://"):
        raise NotInstallable("no npm registry is known: name one, with https, in npm_config_registry")
    return named
