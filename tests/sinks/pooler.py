"""A PgBouncer of the tests' own in transaction mode, in front of a PostgreSQL."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from fixtures.ports import free_port
from tests.e2e.farm_process import until
from tests.sinks.postgres_server import PASSWORD, USER, PostgresServer

PROGRAM = shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


@contextmanager
def pooled(server: PostgresServer, database: str) -> Iterator[str]:
    """Return the address of a database behind the pooler, which hands out the server's connections in turn."""
    assert PROGRAM is not None
    port = free_port()
    folder = Path(server.folder)
    (folder / "users.txt").write_text(f'"{USER}" "{PASSWORD}"\n')
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "plain",
        "auth_file": folder / "users.txt",
        "pool_mode": "transaction",
        "server_round_robin": 1,
        "min_pool_size": 3,
        "ignore_startup_parameters": "extra_float_digits",
    }
    lines = [f"{name} = {value}" for name, value in settings.items()]
    databases = f"[databases]\n* = host=127.0.0.1 port={server.port}\n[pgbouncer]\n"
    config = folder / "pgbouncer.ini"
    config.write_text(databases + "\n".join(lines) + "\n")
    for file in (config, folder / "users.txt"):
        # A test that ran a command before may have left an umask behind which another user cannot read.
        file.chmod(0o644)
    with (folder / "pgbouncer.log").open("ab") as log:
        # It refuses to be root.
        process = subprocess.Popen([PROGRAM, config], stdout=log, stderr=log, **server.as_user)  # type: ignore[call-overload]
    url = f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{port}/{database}"

    def answers() -> bool:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    try:
        until(answers, "an answer of PgBouncer", 30)
        yield url
    finally:
        process.kill()
        process.wait()
