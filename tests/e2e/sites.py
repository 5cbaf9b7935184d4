"""Sites on loopback that answer as a test says."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass(frozen=True)
class Answer:
    """What a site answers."""

    body: bytes = b""
    status: int = 200
    content_type: str = "text/html"
    headers: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def served(answer: Callable[[str, Message], Answer | None], *, keeps_open: bool = False) -> Iterator[str]:
    """Serve what is answered to a path and the headers of a request; yield the origin.

    In the place of None the connection is closed. `keeps_open` says whether one has several requests.
    """

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1" if keeps_open else "HTTP/1.0"

        def do_GET(self) -> None:
            said = answer(self.path, self.headers)
            if said is None:
                self.close_connection = True
                self.connection.close()
                return
            self.send_response(said.status)
            self.send_header("Content-Type", said.content_type)
            self.send_header("Content-Length", str(len(said.body)))
            for name, value in said.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said.body)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@contextmanager
def serving(page: str, content_type: str = "text/html") -> Iterator[str]:
    """Serve the page under every address, without a robots.txt; yield its URL."""

    def answer(path: str, _headers: Message) -> Answer:
        body = b"" if path == "/robots.txt" else page.encode()
        return Answer(body, 200 if body else 404, content_type)

    with served(answer) as origin:
        yield f"{origin}/"
