"""Redis URLs: their options, and errors in them.

redis-py passes every option of a URL on to its connections: an unknown one is an error that does not name the URL,
and a timeout would replace the farm's own. So only the options listed here are allowed. A Cluster and Sentinels
are named by some of their hosts, separated by commas; the first that answers names the others.
"""

import os
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from farm.model.errors import UsageError

SCHEMES = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel")
CA_OPTION = "ssl_ca_certs"
DEFAULT_PORT = 6379
SENTINEL_PORT = 26379
MOST_HOSTS = 100

Host = tuple[str, int]
"""Name or address, and port."""


def is_cluster(url: str) -> bool:
    """Whether the URL names a Redis Cluster."""
    return urlsplit(url).scheme.endswith("+cluster")


def is_sentinel(url: str) -> bool:
    """Whether the URL names Sentinels, and the service whose master they know."""
    return urlsplit(url).scheme.endswith("+sentinel")


def is_encrypted(url: str) -> bool:
    """Whether the URL asks for TLS."""
    return urlsplit(url).scheme.startswith("rediss")


def hosts_of(url: str) -> tuple[Host, ...]:
    """Return the hosts that a URL names; none of one that names a socket."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return ()
    default = SENTINEL_PORT if is_sentinel(url) else DEFAULT_PORT
    hosts = [urlsplit(f"//{host}") for host in parts.netloc.rpartition("@")[2].split(",")]
    return tuple((host.hostname or "", host.port or default) for host in hosts)


def of_one_host(url: str, host: Host) -> str:
    """Return the URL of one server of a Cluster or behind Sentinels, with the same user, password and options."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    name, port = host
    shown = f"[{name}]" if ":" in name else name
    path = f"/{_database_of(parts) or 0}" if is_sentinel(url) else parts.path
    query = "&".join(
        one for one in parts.query.split("&") if one and not one.startswith(("db=", *_OF_SENTINELS))
    )
    base = f"{parts.scheme.partition('+')[0]}://{user}{at}{shown}:{port}{path}"
    return f"{base}?{query}" if query else base


def service_of(url: str) -> str:
    """Return the name of the service at the Sentinels."""
    return unquote(urlsplit(url).path.strip("/").partition("/")[0])


def sentinel_login(url: str) -> tuple[str | None, str | None]:
    """Return the user and the password of the Sentinels themselves; None if there is none."""
    options = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    return options.get("sentinel_username"), options.get("sentinel_password")


def check_url(url: str) -> None:
    """Raise UsageError for a URL that names no Redis, or has an invalid option."""
    parts = _parts(url)
    if parts.scheme not in SCHEMES:
        raise UsageError(
            "--redis takes redis://, rediss://, unix://, redis+cluster:// or redis+sentinel://, "
            "and a host or a path."
        )
    _check_hosts(url, parts)
    if parts.fragment:
        raise UsageError("--redis ends with a #, which a Redis URL cannot have; leave it out.")
    options = _options_of(parts)
    if is_sentinel(url) and not service_of(url):
        raise UsageError(
            "--redis names no service of the Sentinels; write for example redis+sentinel://h1,h2/mymaster."
        )
    database = _database_of(parts)
    if "db" in options and _database_in_path(parts):
        raise UsageError("--redis names the database twice; write either /N or ?db=N.")
    if database is not None and not _is_number(database):
        raise UsageError(
            "--redis: the database is a whole number; write for example redis://127.0.0.1:6379/0."
        )
    if is_cluster(url) and int(database or 0):
        raise UsageError("--redis: a Cluster has only the database 0; leave the number out.")


def place_of(url: str) -> str:
    """Return the address of a Redis URL, without credentials."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return f"unix://{parts.path}"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}{parts.path}"


def with_authority(url: str, ca_file: Path) -> str:
    """Return the URL with the file of certificate authorities that verify its server."""
    path = quote(str(ca_file.absolute()), safe="")
    return f"{url}{'&' if urlsplit(url).query else '?'}{CA_OPTION}={path}"


def _parts(url: str) -> SplitResult:
    """Parse the URL; a malformed one is not quoted in the error, since its password may be anywhere in it."""
    try:
        parts = urlsplit(url)
        if all(port > 0 for _, port in hosts_of(url)) and (
            parts.scheme == "unix" or "@" not in f"{parts.path}{parts.query}{parts.fragment}"
        ):
            return parts
    except ValueError:
        pass
    raise UsageError(
        "--redis is not a URL; in user and password write /, ?, #, @ and : as %2F, %3F, %23, %40 and %3A."
    )


def _check_hosts(url: str, parts: SplitResult) -> None:
    """Raise UsageError if a URL names no host, or several for a single server."""
    hosts = hosts_of(url)
    if not (parts.path if parts.scheme == "unix" else hosts and all(name for name, _ in hosts)):
        raise UsageError(f"--redis {place_of(url)} names no host; write for example redis://127.0.0.1:6379.")
    if len(hosts) > MOST_HOSTS:
        raise UsageError(f"--redis names {len(hosts)} hosts; {MOST_HOSTS} are enough to find the others by.")
    if len(hosts) > 1 and "+" not in parts.scheme:
        raise UsageError(
            f"--redis {place_of(url)} names several hosts; write redis+cluster:// or redis+sentinel://, "
            "or one host."
        )


def _database_in_path(parts: SplitResult) -> str | None:
    path = parts.path.strip("/")
    if parts.scheme.endswith("+sentinel"):
        path = path.partition("/")[2]
    return unquote(path) if path and parts.scheme != "unix" else None


def _database_of(parts: SplitResult) -> str | None:
    """Return the text of a database's number, from the options or the path."""
    given = dict(parse_qsl(parts.query, keep_blank_values=True)).get("db")
    return _database_in_path(parts) if given is None else given


def _options_of(parts: SplitResult) -> dict[str, str]:
    """Return the options of a URL, each checked; a value is not quoted, since it may be a part of a password."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True, separator="&"):
        if name not in _VALUES:
            known = ", ".join(sorted(_VALUES))
            raise UsageError(
                f"--redis has the option {_shown(name)}, which is none; a Redis URL takes {known}."
            )
        if name in found:
            raise UsageError(f"--redis has the option {name} twice; leave one out.")
        if name in _OF_SENTINELS and not parts.scheme.endswith("+sentinel"):
            raise UsageError(f"--redis has the option {name} without Sentinels; leave it out.")
        if name.startswith("ssl_") and not parts.scheme.startswith("rediss"):
            raise UsageError(f"--redis has the option {name} without TLS; write rediss:// or leave it out.")
        is_right, wanted = _VALUES[name]
        if not is_right(value):
            raise UsageError(f"--redis: the option {name} takes {wanted}.")
        found[name] = value
    if "ssl_keyfile" in found and "ssl_certfile" not in found:
        raise UsageError("--redis has a key without its certificate; add ssl_certfile=FILE.")
    if "ssl_certfile" in found:
        _check_pair(found["ssl_certfile"], found.get("ssl_keyfile"))
    return found


def _shown(name: str) -> str:
    return repr(name[:40])


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < len("1000000000")


def _holds_authorities(path: str) -> bool:
    try:
        ssl.create_default_context(cafile=path)
    except (OSError, ValueError):
        # A file that holds no certificate is an SSLError, which is an OSError.
        return False
    return True


def _check_pair(certificate: str, key: str | None) -> None:
    try:
        ssl.create_default_context().load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError):
        raise UsageError(
            "--redis: ssl_certfile and ssl_keyfile are not a certificate with its key; give files in PEM format."
        ) from None


_OF_SENTINELS = ("sentinel_username", "sentinel_password")
_VALUES: Mapping[str, tuple[Callable[[str], bool], str]] = {
    "db": (_is_number, "a whole number"),
    CA_OPTION: (_holds_authorities, "a file of certificate authorities in PEM format"),
    "ssl_certfile": (os.path.isfile, "a file with a certificate in PEM format"),
    "ssl_keyfile": (os.path.isfile, "a file with a key in PEM format"),
    "ssl_cert_reqs": ({"required", "none"}.__contains__, "required or none"),
    "ssl_check_hostname": ({"true", "false"}.__contains__, "true or false"),
    "sentinel_username": (bool, "the name of the Sentinels' user"),
    "sentinel_password": (bool, "the Sentinels' password"),
}
"""The options that a URL may have: their values, and a description of these."""
