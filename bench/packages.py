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


PINNED = (
    Package(
        "swagger-ui-dist",
        "5.35.0",
        "U06rpMtW9V3XPGOBeamTUSr0Z09jMX4IJuANpE/EZbAhw0G8CgwrzU4YmXkn/h0wCDNsXdGarTNNHC3sU8yVUQ==",
    ),
    Package(
        "redoc",
        "2.5.4",
        "M6jWhG1qoBnH6TFmzJnstyCZ87HmOY/UzDm78mHiYihEdlV/YcS9ogOo1NlElnJMeLsyxHFe2yFc4sNjHTrABQ==",
    ),
    Package(
        "@hotwired/turbo",
        "8.0.23",
        "GZ7cijxEZ6Ig71u7rD6LHaRv/wcE/hNsc+nEfiWOkLNqUgLOwo5MNGWOy5ZV9ZUDSiQx1no7YxjTNnT4O6//cQ==",
    ),
    Package(
        "@scalar/api-reference",
        "1.46.4",
        "EpCcOG15Ry8DKNs/f5AdRA97s1B5kGPekzANpnK0j1IpyU4Sb/mfdyfB00WC+vUo7hfc4BFRSkkiPa5SSM7fng==",
    ),
    Package(
        "@stoplight/elements",
        "9.0.25",
        "rDbNsgSCNo74lyV57cBzym+8F68/R2j7UPq4r3w5qK608vX8APNJhTq+2MkbTjsM3bUhFIoRdI225tlI85KpCA==",
    ),
    Package(
        "ag-grid-community",
        "32.3.9",
        "l07SB0mCbGPkC1R8rQQFgBtI5+1FoXBi3RUk1+dHKV/UPeorMEFAzCokcsOhz0qwcWCPrHauUsbRa1SIxfVEJQ==",
    ),
    Package(
        "angular",
        "1.8.3",
        "5qjkWIQQVsHj4Sb5TcEs4WZWpFeVFHXwxEBHUhrny41D8UrBAd6T/6nPPAsLngJCReIOqi95W3mxdveveutpZw==",
    ),
    Package(
        "angular-route",
        "1.8.3",
        "kpIcRmDR2+o1FxDVVYy8Rvfab86/7LDbOgTRb9T+X9ewPQiBRuDEnZtM3oJYBiQLvAXDYTJXHV48n/bGE9Mv2g==",
    ),
    Package(
        "docute",
        "4.23.3",
        "Hbd+Mv2zOAEq8bkQctX6M4WogcZqkEy0bcHXUEPzMKDncFaJSQxb9b0KeAIWHJ+qO8Gz/Mxyq5EkNFaXuhbL1Q==",
    ),
    Package(
        "esbuild-wasm",
        "0.25.12",
        "rZqkjL3Y6FwLpSHzLnaEy8Ps6veCNo1kZa9EOfJvmWtBq5dJH4iVjfmOO6Mlkv9B0tt9WFPFmb/VxlgJOnueNg==",
    ),
    Package(
        "framer-motion",
        "11.18.2",
        "5F5Och7wrvtLVElIpclDT0CBzMVg3dL22B64aZwHtsIY8RB4mXICLrkajK4G9R+ieSAGcgrLeae2SeUTg2pr6w==",
    ),
    Package(
        "gsap",
        "3.15.0",
        "dMW4CWBTUK1AEEDeZc1g4xpPGIrSf9fJF960qbTZmN/QwZIWY5wgliS6JWl9/25fpTGJrMRtSjGtOmPnfjZB+A==",
    ),
    Package(
        "jquery",
        "4.0.0",
        "TXCHVR3Lb6TZdtw1l3RTLf8RBWVGexdxL6AC8/e0xZKEpBflBsjh9/8LXw+dkNFuOyW9B7iB3O1sP7hS0Kiacg==",
    ),
    Package(
        "mithril",
        "2.3.8",
        "za/Yo7qXEckjm5syrSfaaI9Utf4tCUT3T1IOIYqH6Lrj7G0OZuYYLAY9SV4ygoaAf0+CNqU92MBt+7pmo53JVQ==",
    ),
    Package(
        "pyodide",
        "0.27.8",
        "XDy8yQAloO0fSaJ6F5aQad0IqcBKvU4MgGjN3LrjOPW6J4xHT5PBiBzCnApxjuerWl33BiyuPQG1uIHHAQnkkg==",
    ),
    Package(
        "rapidoc",
        "9.3.8",
        "eCYEbr1Xr8OJZvVCw8SXl9zBCRoLJbhNGuG5IZTHq/RWAOq/O4MafUCuFEyZHsrhLrlUcGZMa64pyhpib8fQKQ==",
    ),
    Package(
        "react",
        "18.3.1",
        "wS+hAgJShR0KhEvPJArfuPVN1+Hz1t0Y6n5jLrGQbkb4urgPE/0Rve+1kMB1v/oWgHgm4WIcV+i7F2pTVj+2iQ==",
    ),
    Package(
        "react-dom",
        "18.3.1",
        "5m4nQKp+rZRb09LNH59GM4BxTh9251/ylbKIbpe7TpGxfJ+9kv6BLkLBXIjjspbgbnIBNqlI23tRnTWT0snUIw==",
    ),
    Package(
        "sql.js",
        "1.17.0",
        "HNdo5+2eSTEm7iLcfXUd2mjZX3Oe+5mJ0uDgIpirS7gSLHhZIw9kWDWxNcDVeFGEIBxJlkgo525g0CZJoH8GgA==",
    ),
)


def unpacked(package: Package) -> Path:
    """Return the folder with the package's files, fetching it if needed; raises NotInstallable."""
    folder = CACHE / "packages" / f"{package.name.replace('/', '__')}-{package.version}"
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
    file = f"{package.name.rpartition('/')[2]}-{package.version}.tgz"
    url = f"{registry().rstrip('/')}/{package.name}/-/{file}"
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
