"""What a page may not have of the machine: places, cameras, clipboards, files. Each is denied, nobody is asked."""

from pathlib import Path

import pytest

from tests.browser.conftest import visit
from tests.browser.test_no_way_around import one_slot
from tests.egress.servers import answering, listening, ok

PERMISSIONS = (
    "geolocation",
    "camera",
    "microphone",
    "clipboard-read",
    "clipboard-write",
    "notifications",
    "midi",
    "persistent-storage",
    "background-sync",
    "idle-detection",
    "display-capture",
    "local-fonts",
    "window-management",
    "payment-handler",
    "screen-wake-lock",
)
CALLS = {
    "geolocation": "new Promise((done, failed) => navigator.geolocation.getCurrentPosition(done, failed))",
    "camera": "navigator.mediaDevices.getUserMedia({ video: true })",
    "microphone": "navigator.mediaDevices.getUserMedia({ audio: true })",
    "screen": "navigator.mediaDevices.getDisplayMedia({ video: true })",
    "reading the clipboard": "navigator.clipboard.readText()",
    "writing to the clipboard": "navigator.clipboard.writeText('x')",
    "notifications": "Notification.requestPermission().then((got) => { if (got !== 'granted') throw got; })",
}
PAGE = """<!DOCTYPE html><title>asks</title><p id="told"></p><script>
const settled = WORK;
settled.then((got) => { document.getElementById("told").textContent = "told: " + got; });
</script>"""


DOWNLOAD = """new Promise((done) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(["a-file-from-a-page"]));
  link.download = "loot.txt";
  document.body.append(link);
  link.click();
  setTimeout(() => done("clicked"), 500);
})"""


async def told(folder: Path, work: str) -> str:
    """Visit a page that does some work, as a slot visits any; return what it says of it."""
    page = PAGE.replace("WORK", work).encode()
    # Loopback counts as secure, so that nothing is refused for lack of TLS.
    async with (
        listening(answering(ok(page, b"Content-Type: text/html"))) as site,
        one_slot(folder, site.port) as (slot, _, _),
    ):
        return (await visit(slot, f"{site.url}/")).text


async def test_every_permission_is_denied(tmp_path: Path) -> None:
    """Not `prompt`: a question that nobody answers would hold a page up until its deadline."""
    queries = ", ".join(
        f"navigator.permissions.query({{ name: '{name}' }}).then((found) => '{name} ' + found.state)"
        for name in PERMISSIONS
    )
    said = await told(tmp_path / "e", f"Promise.all([{queries}]).then((all) => all.join(', '))")
    assert said == "told: " + ", ".join(f"{name} denied" for name in PERMISSIONS)


@pytest.mark.parametrize("name", CALLS)
async def test_who_asks_is_refused_at_once(tmp_path: Path, name: str) -> None:
    """By an error that a page can handle; the visit does not wait for anybody."""
    said = await told(tmp_path / "e", f"{CALLS[name]}.then(() => 'granted', () => 'refused')")
    assert said == "told: refused"


def loot(folder: Path) -> list[Path]:
    """Return the files that a page has put into a folder or below."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files, "the browser's own"
    return [path for path in files if "loot" in path.name or b"a-file-from-a-page" in path.read_bytes()]


async def test_a_download_leaves_no_file(tmp_path: Path) -> None:
    """What a script hands to the visitor is not taken."""
    page = PAGE.replace("WORK", DOWNLOAD).encode()
    async with (
        listening(answering(ok(page, b"Content-Type: text/html"))) as site,
        one_slot(tmp_path / "e", site.port) as (slot, _, _),
    ):
        assert (await visit(slot, f"{site.url}/")).text == "told: clicked"
        assert loot(tmp_path) == []
