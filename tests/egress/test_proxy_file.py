"""The file that names the proxies."""

import logging
import os
from pathlib import Path

import pytest

from farm.egress.proxy_file import ProxyFile
from farm.model.errors import UsageError


def test_proxies_are_named_by_their_address_without_credentials(tmp_path: Path) -> None:
    """Those that differ in credentials alone are told apart, the same way every time."""
    path = tmp_path / "proxies.txt"
    path.write_text("http://u1:hunter2@a:9\nhttp://u2:hunter2@a:9\nsocks5://b\n")
    file, again = ProxyFile(path), ProxyFile(path)
    file.read()
    again.read()
    labels = list(file.upstreams)
    assert labels == list(again.upstreams)
    assert labels[2] == "socks5://b:1080"
    assert all(label.startswith("http://a:9#") for label in labels[:2])
    assert len(set(labels)) == 3
    assert not any("hunter2" in label or "u1" in label for label in labels)


def test_a_change_is_seen_and_a_bad_list_leaves_the_last_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that is written anew is read; one that gives nothing is told once and changes nothing."""
    caplog.set_level(logging.INFO, "farm.proxies")
    path = tmp_path / "proxies.txt"
    path.write_text("http://a:9\n")
    file = ProxyFile(path)
    file.read()
    assert not file.refresh()
    path.write_text("http://b:9\nnonsense\n")
    os.utime(path, ns=(1, 1))
    assert file.refresh()
    assert ["nonsense" in record.getMessage() for record in caplog.records] == [False, False]
    assert list(file.upstreams) == ["http://b:9"]
    assert [bad.number for bad in file.bad] == [2]
    path.write_text("nonsense\n")
    assert not file.refresh()
    assert "line 1: it must begin with" in caplog.records[-1].getMessage()
    assert not file.refresh()
    assert list(file.upstreams) == ["http://b:9"]
    assert len(caplog.records) == 3
    path.unlink()
    assert not file.refresh()


@pytest.mark.parametrize("content", [None, b"", b"# nothing\n", b"\xff\xfe\x00"])
def test_a_file_without_proxies_is_said_in_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    """At the start: it cannot be meant."""
    path = tmp_path / "proxies.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"--proxies .*proxies\.txt"):
        ProxyFile(path).read()
