"""A Redis of the tests' own on a port, which can be stopped, killed and started again with its data."""

import socket
import subprocess
from pathlib import Path

from fixtures.authority import Authority, Identity
from fixtures.ports import free_port
from tests.e2e.farm_process import until


class RedisServer:
    """One redis-server with an append-only file in `folder`, with TLS alone where it is given a certificate.

    With an `authority` it wants a certificate of it from its clients.
    """

    def __init__(
        self,
        folder: Path,
        password: str = "",
        tls: Identity | None = None,
        authority: Authority | None = None,
    ) -> None:
        self._folder = folder
        self._password = password
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.certificate, self.key = folder / "server.pem", folder / "server.key"
        self._tls, self._authority = tls, authority
        self.url = f"redis{'s' if tls else ''}://{f':{password}@' if password else ''}127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        flags = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self._folder,
            "save": "",
            "appendonly": "yes",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            **({"requirepass": self._password} if self._password else {}),
            **(self._tls_flags(self._tls) if self._tls else {}),
        }
        command = [
            "redis-server",
            *(str(part) for name, value in flags.items() for part in (f"--{name}", value)),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until(self._answers, "an answer of Redis", 20)
        except AssertionError:
            self.kill()
            raise

    def _tls_flags(self, identity: Identity) -> dict[str, object]:
        authority = self._folder / "authority.pem"
        self.certificate.write_bytes(identity.chain_pem)
        self.key.write_bytes(identity.key_pem)
        authority.write_bytes(self._authority.pem if self._authority else identity.chain_pem)
        return {
            "port": 0,
            "tls-port": self.port,
            "tls-cert-file": self.certificate,
            "tls-key-file": self.key,
            "tls-ca-cert-file": authority,
            "tls-auth-clients": "yes" if self._authority else "no",
        }

    def kill(self) -> None:
        """SIGKILL it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=10)
            self._process = None

    def ask(self, *command: str) -> str:
        """Return what it says to a command."""
        line = ["redis-cli", "-p", str(self.port), *command]
        return subprocess.run(line, check=True, capture_output=True, text=True).stdout

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                if self._tls is not None:
                    return True
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False
