"""An S3 of the tests' own on a port of loopback, and what stands in front of it and fails."""

import os
import socket
import socketserver
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from fixtures.ports import free_port
from tests.e2e.farm_process import until

KEY, SECRET = "fArM-key", "oBjEcT-hUnTeR2"
BUCKET = "crawls"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    # Nobody is asked for credentials but the environment.
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


class ObjectServer:
    """moto's server with one bucket; with `checks_keys` it knows nobody's keys from then on."""

    def __init__(self, folder: Path, *, checks_keys: bool = False) -> None:
        self.port = free_port()
        # The first request makes the bucket.
        environment = os.environ | ({"INITIAL_NO_AUTH_ACTION_COUNT": "1"} if checks_keys else {})
        with (folder / "moto.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
                stdout=log,
                stderr=log,
                env=environment,
            )
        try:
            until(self._listens, "moto's server", 30)
        except AssertionError:
            self.process.kill()
            self.process.wait()
            raise
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )
        self._client.create_bucket(Bucket=BUCKET)

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        """Return the objects below a prefix, their names without it."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        keys = [one["Key"] for page in pages for one in page.get("Contents", ())]
        return {
            key.removeprefix(prefix): self._client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            for key in keys
        }

    def put(self, key: str, content: bytes) -> None:
        """Add an object that no farm has written."""
        self._client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def remove(self) -> None:
        """End it."""
        self._client.close()
        self.process.kill()
        self.process.wait()

    def _listens(self) -> bool:
        assert self.process.poll() is None, "moto's server has ended"
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except OSError:
            return False
        return True


_REFUSALS = {
    "503": ("503 Slow Down", "SlowDown", "Please reduce your request rate."),
    "403": ("403 Forbidden", "AccessDenied", "Access Denied"),
}


class _Connection(socketserver.BaseRequestHandler):
    server: "_FrontServer"

    def handle(self) -> None:
        front = self.server.front
        head = b""
        while b"\r\n\r\n" not in head:
            received = self.request.recv(65_536)
            if not received:
                return
            head += received
        method = head.split(b" ", 1)[0].decode()
        fault = front.fault if method in front.methods else ""
        with front.changed:
            front.requests.append((method, fault))
            front.changed.notify_all()
        if fault in _REFUSALS:
            status, code, message = _REFUSALS[fault]
            body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
            head_lines = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/xml\r\n"
            self.request.sendall(f"{head_lines}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        elif fault == "hang":
            front.released.wait(60)
        elif fault == "deaf":
            # All of it arrives, and the answer does not.
            self._forward(head, answers=False)
            front.released.wait(60)
        else:
            self._forward(head, answers=True)

    def _forward(self, head: bytes, *, answers: bool) -> None:
        with socket.create_connection(("127.0.0.1", self.server.front.behind)) as there:
            there.sendall(head)
            threading.Thread(target=_pump, args=(self.request, there), daemon=True).start()
            _pump(there, self.request, only=b"" if answers else b"HTTP/1.1 100 ")


def _pump(source: socket.socket, target: socket.socket, only: bytes = b"") -> None:
    """Send on what comes, if it begins so, until there is no more."""
    try:
        while received := source.recv(65_536):
            if received.startswith(only):
                target.sendall(received)
    except OSError:
        pass


class _FrontServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    front: "Front"


class Front:
    """Stands in front of a server; what is in `fault` happens to each request by one of the `methods`.

    It is "503", "403", "hang" (no answer), "deaf" (all of the request is passed on, and no answer), or nothing.
    """

    def __init__(self, behind: int) -> None:
        self.behind = behind
        self.fault = ""
        self.methods = {"PUT"}
        self.requests: list[tuple[str, str]] = []
        self.changed = threading.Condition()
        self.released = threading.Event()
        self._server = _FrontServer(("127.0.0.1", 0), _Connection)
        self._server.front = self
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def seen(self, fault: str, times: int = 1) -> None:
        """Wait until so many requests had this fault."""
        with self.changed:
            assert self.changed.wait_for(
                lambda: sum(had == fault for _, had in self.requests) >= times, 60
            ), f"{times} requests with {fault!r}"

    def remove(self) -> None:
        """End it, and what hangs in it."""
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
