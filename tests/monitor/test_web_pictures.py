"""What the page for a browser shows of dead letters and contexts: to whoever has the token, and no other file."""

import json
import os
from pathlib import Path

from farm.monitor import web_page
from farm.monitor.metrics_server import MetricsServer

from .served import BEARER, Told, ask

JPEG = b"\xff\xd8\xff and so on"


def test_dead_letters_are_told_to_whoever_has_the_token(
    server: MetricsServer, told: Told, tmp_path: Path
) -> None:
    """Some at a time, each as texts of some length, with whether there is a picture of it here."""
    assert ask(server, "GET", "/dead")[0] == 403
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / "0123456789abcdef.jpg").write_bytes(JPEG)
    status, headers, body = ask(server, "GET", "/dead?start=50&reason=http_5xx", headers=BEARER)
    assert (status, headers["cache-control"]) == (200, "no-store")
    assert told.letters_asked == [({"reason": "http_5xx"}, 50, web_page.LETTERS)]
    answer = json.loads(body)
    assert (answer["start"], answer["total"]) == (50, 1_000_000)
    first, second = answer["letters"]
    assert (first["id"], first["picture"], first["attempts"]) == ("0123456789abcdef", True, 4)
    assert first["url"].startswith("http://a.example/yyy")
    assert first["detail"].startswith("status 500  xxx")
    assert len(body) < 2000
    assert (second["id"], second["url"], second["picture"]) == ("\\xff", "", False)
    for start in ("-1", "x", "9" * 10):
        assert ask(server, "GET", f"/dead?start={start}", headers=BEARER)[0] == 400
    assert ask(server, "GET", "/dead?reason=bored", headers=BEARER)[0] == 400
    told.is_away = True
    assert ask(server, "GET", "/dead", headers=BEARER)[::2] == (503, b"Redis is away\n")


def test_a_picture_is_read_by_whoever_has_the_token(server: MetricsServer, tmp_path: Path) -> None:
    """And no other file, whatever the address says or somebody has put there."""
    folder = tmp_path / "snapshots"
    folder.mkdir()
    (folder / "0123456789abcdef.jpg").write_bytes(JPEG)
    assert ask(server, "GET", "/snapshots/0123456789abcdef.jpg")[0] == 403
    status, headers, body = ask(server, "GET", "/snapshots/0123456789abcdef.jpg", headers=BEARER)
    assert (status, body) == (200, JPEG)
    assert headers["content-type"] == "image/jpeg"
    assert headers["x-content-type-options"] == "nosniff"
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (folder / "0123456789abcdef.html").write_text("<script>alert(1)</script>")
    (folder / ("1" * 16 + ".jpg")).symlink_to(tmp_path / "secret.jpg")
    (folder / ("2" * 16 + ".jpg")).write_bytes(b"x" * (web_page.PICTURE_BYTES + 1))
    os.mkfifo(folder / ("3" * 16 + ".jpg"))
    names = [f"{number * 16}.jpg" for number in "1234"]
    names += ["..%2Fsecret.jpg", "%2e%2e/secret.jpg", "0123456789abcdef.html", "0123456789ABCDEF.jpg"]
    for name in names:
        assert ask(server, "GET", f"/snapshots/{name}", headers=BEARER)[0] == 404, name
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert ask(server, "GET", "/snapshots/0123456789abcdef.jpg", headers=BEARER)[0] == 404


def test_what_a_context_shows_is_shown_to_whoever_has_the_token(server: MetricsServer) -> None:
    """One picture at a time; a context that shows nothing has none, nor has any before there are contexts."""
    asked: list[str] = []

    async def glance(name: str) -> bytes | None:
        asked.append(name)
        if name == "slow":
            raise TimeoutError
        return JPEG if name in {"01", "2/01"} else None

    assert ask(server, "GET", "/contexts/01.jpg", headers=BEARER)[0] == 404
    server.page.glance = glance
    assert ask(server, "GET", "/contexts/01.jpg")[0] == 403
    assert asked == []
    status, headers, body = ask(server, "GET", "/contexts/01.jpg?at=5", headers=BEARER)
    assert (status, headers["content-type"], headers["cache-control"], body) == (
        200,
        "image/jpeg",
        "no-store",
        JPEG,
    )
    assert ask(server, "GET", "/contexts/2%2F01.jpg", headers=BEARER)[0] == 200
    assert ask(server, "GET", "/contexts/slow.jpg", headers=BEARER)[0] == 503
    assert ask(server, "GET", "/contexts/..%2F..%2Fetc%2Fpasswd.jpg", headers=BEARER)[0] == 404
    assert asked == ["01", "2/01", "slow", "../../etc/passwd"]
