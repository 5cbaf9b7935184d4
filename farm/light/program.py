"""The light engine's program: its path, and its arguments."""

import importlib.util
import ssl
from dataclasses import dataclass
from pathlib import Path

from farm.model.errors import BrowserUnavailable
from farm.resources.installation import install_command

PACKAGE = "lightpanda"
"""The package that contains the program. It is never imported."""
WATCHDOG_MS = 5000
"""A script that runs this long without a pause is ended, together with its connection."""
CONNECTIONS = 64
"""More than an engine has slots: a page that hangs keeps its connection until the watchdog ends it."""
RESPONSE_BYTES = 64 * 2**20
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


@dataclass(frozen=True, slots=True)
class ProgramParams:
    """The parameters of all pages of an engine; `loads` are the kinds of resources that are loaded.

    `blocked_urls` are patterns of addresses with `*`; `heap_mib` bounds the scripts of each connection.
    """

    program: Path
    user_agent_suffix: str = ""
    loads: tuple[str, ...] = ("iframe", "worker", "stylesheet")
    blocked_urls: tuple[str, ...] = ()
    ca_file: Path | None = None
    insecure: bool = False
    locale: str | None = None
    timezone: str | None = None
    heap_mib: int = 256
    watchdog_ms: int = WATCHDOG_MS
    data_bytes: int = 2 * 2**30
    """Bytes of private memory in all; an allocation beyond it ends the engine."""


def find_program() -> Path:
    """Return the path of the program; raises BrowserUnavailable with the remedy where it is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    for folder in (found.submodule_search_locations or ()) if found is not None else ():
        program = Path(folder) / PACKAGE
        if program.is_file():
            return program.resolve()
    raise BrowserUnavailable(
        f"The light engine is not installed; run {install_command('light')}, or use another --render."
    )


def authorities(ca_file: Path | None) -> tuple[Path, ...]:
    """Return the files of the certificate authorities that are trusted: the system's, and the user's."""
    known = ssl.get_default_verify_paths().cafile
    bundle = next((Path(path) for path in (known, *_BUNDLES) if path and Path(path).is_file()), None)
    return tuple(path.resolve() for path in (bundle, ca_file) if path is not None)


def arguments(params: ProgramParams, socket: Path) -> list[str]:
    """Return the program's arguments; it listens on a socket of the file system, which only its owner may open."""
    words = ["serve", "--unix-socket", str(socket), "--log-level", "fatal", "--disable-metrics"]
    words += ["--watchdog-ms", str(params.watchdog_ms), "--v8-max-heap-mb", str(params.heap_mib)]
    words += ["--cdp-max-connections", str(CONNECTIONS), "--cdp-max-message-size", str(4 * 2**20)]
    words += ["--http-max-response-size", str(RESPONSE_BYTES), "--http-timeout", "0"]
    words += ["--http-connect-timeout", "0"]
    # The gateway has the deadlines, and closes what has none.
    for kind in params.loads or ("none",):
        words += ["--load-resources", kind]
    for pattern in params.blocked_urls:
        words += ["--block-urls", pattern]
    for path in authorities(params.ca_file):
        words += ["--ca-cert", str(path)]
    if params.insecure:
        words.append("--insecure-disable-tls-host-verification")
    if params.user_agent_suffix:
        words += ["--user-agent-suffix", params.user_agent_suffix.strip()]
    for flag, value in (("--locale", params.locale), ("--timezone", params.timezone)):
        words += [flag, value] if value else []
    return words
