"""A PostgreSQL of the tests' own on a port of loopback, which can be stopped, killed and started again."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg

from farm.model.record import Batch
from farm.sinks.postgres import PostgresStore
from fixtures.ports import free_port
from tests.e2e.farm_process import until

USER, PASSWORD = "farmer", "pOsTgReS-hUnTeR2"
NOBODY = 65_534


def _program(name: str) -> str:
    """Return a program of the server: distributions keep it out of PATH, one folder a version."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    path = str(found[-1]) if found else shutil.which(name)
    assert path is not None, (
        "there is no PostgreSQL; `make test` installs it, or check the package postgresql"
    )
    return path


class PostgresServer:
    """A cluster in a folder of its own; it asks for a password over TCP, and runs as an ordinary user."""

    def __init__(self) -> None:
        # Not in pytest's folder, which another user may not enter.
        self.folder = Path(tempfile.mkdtemp(prefix="farm-postgres-"))
        self.as_user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        self.port = free_port()
        password = self.folder / "password"
        password.write_text(PASSWORD)
        if self.as_user:
            for path in (self.folder, password):
                os.chown(path, NOBODY, NOBODY)
        self._run(
            *(_program("initdb"), "--pgdata", str(self.folder / "data"), "--username", USER, "--no-sync"),
            *("--pwfile", str(password), "--auth-host", "scram-sha-256", "--encoding", "UTF8"),
            *("--no-locale", "--no-instructions"),
        )
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self.start()
        except AssertionError:
            self.remove()
            raise

    @property
    def pid(self) -> int:
        """The process id of the server, whose children serve the connections."""
        assert self._process is not None
        return self._process.pid

    def url(self, database: str = "postgres", *, user: str = USER, password: str = PASSWORD) -> str:
        """Return the address of a database."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = {
            "unix_socket_directories": self.folder,
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            # A process that is killed takes nothing along that it has written; no machine is switched off here.
            "fsync": "off",
            "shared_buffers": "16MB",
            "max_connections": 30,
        }
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        log = (self.folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [_program("postgres"), "-D", str(self.folder / "data"), *flags],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                **self.as_user,  # type: ignore[call-overload]
            )
        until(self._answers, "an answer of PostgreSQL", 30)

    def kill(self) -> None:
        """SIGKILL to the server and every process of it."""
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
        # What a killed server leaves of its shared memory would not let the next one begin at once.
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every process of the server."""
        assert self._process is not None
        server = psutil.Process(self._process.pid)
        for process in (server, *server.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def remove(self) -> None:
        """Kill it and remove everything."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def execute(self, query: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Return the rows of a query, of one connection of its own."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def database(self, name: str) -> str:
        """Make an empty database, and return its address."""
        name = re.sub(r"\W+", "_", name).lower()[:60]
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        self.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=self.folder,
            **self.as_user,  # type: ignore[call-overload]
        )
        assert done.returncode == 0, done.stderr


def write(store: PostgresStore, *batches: Batch) -> None:
    """Write the batches as one group."""
    store.write([store.encode(batch)[0] for batch in batches])


def rows(url: str, query: str = "SELECT * FROM pages ORDER BY url") -> list[dict[str, Any]]:
    """Return the rows as dictionaries, by a connection of its own."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        if cursor.description is None:
            return []
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
