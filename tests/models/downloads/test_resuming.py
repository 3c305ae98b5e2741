"""Downloads that were cut or interrupted go on where they ended, or begin again where that would be wrong."""

import pytest

from everypose.models.downloads import client
from everypose.models.downloads.records import home
from everypose.models.downloads.store import fetch
from models.downloads.hub_stand_in import Page
from models.downloads.made_entries import GRAPH, refuse, release


def _interrupt(*_):
    raise KeyboardInterrupt


def receive_without_its_name(hub, monkeypatch):
    """A download whose process ends when all is received, before the file gets its name."""
    hub.pages["/r/pose.onnx"] = Page(GRAPH)
    with monkeypatch.context() as killed:
        killed.setattr("everypose.models.downloads.store.require_kind", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            fetch(release(hub), quiet=True)


def test_a_cut_connection_is_resumed(hub):
    hub.pages["/r/pose.onnx"] = Page(GRAPH, cut=3000)
    folder = fetch(release(hub), quiet=True)
    assert (folder / "pose.onnx").read_bytes() == GRAPH
    assert [headers.get("Range") for _, headers in hub.asked] == [None, "bytes=3000-"]


def test_the_next_call_resumes_what_was_cut_each_time(hub):
    hub.pages["/r/pose.onnx"] = Page(GRAPH, cut=1000, always=True)
    refuse(release(hub), "was cut 5 times: 5000 of .* 'everypose models get pose --to DIR'", partial=1)
    hub.pages["/r/pose.onnx"].cut = None
    hub.asked.clear()
    assert (fetch(release(hub), quiet=True) / "pose.onnx").read_bytes() == GRAPH
    assert [headers["Range"] for _, headers in hub.asked] == ["bytes=5000-"]
    assert not list((home() / "partial").iterdir())


def test_a_whole_file_of_unknown_size_is_not_downloaded_again(hub, monkeypatch):
    receive_without_its_name(hub, monkeypatch)
    hub.asked.clear()
    assert (fetch(release(hub), quiet=True) / "pose.onnx").read_bytes() == GRAPH
    assert [headers["Range"] for _, headers in hub.asked] == [f"bytes={len(GRAPH)}-"]


def test_more_than_the_file_has_is_downloaded_from_its_begin(hub, monkeypatch):
    receive_without_its_name(hub, monkeypatch)
    (part,) = (home() / "partial").glob("*.part")
    part.write_bytes(GRAPH + b"more")
    assert (fetch(release(hub), quiet=True) / "pose.onnx").read_bytes() == GRAPH


def test_content_of_a_former_version_never_has_the_tag_of_the_new_one(hub, monkeypatch):
    hub.pages["/r/pose.onnx"] = Page(b"\x08\x07" + GRAPH, cut=1000, always=True)
    refuse(release(hub), "was cut", partial=1)
    hub.pages["/r/pose.onnx"] = Page(GRAPH)
    write_tag = client._write_tag
    with monkeypatch.context() as killed:
        killed.setattr(client, "_write_tag", lambda *given: _interrupt(write_tag(*given)))
        with pytest.raises(KeyboardInterrupt):
            fetch(release(hub), quiet=True)
    assert (fetch(release(hub), quiet=True) / "pose.onnx").read_bytes() == GRAPH


def test_a_file_that_changed_meanwhile_is_downloaded_from_its_begin(hub):
    hub.pages["/r/pose.onnx"] = Page(b"\x08\x07" + GRAPH, cut=1000, always=True)
    refuse(release(hub), "was cut", partial=1)
    hub.pages["/r/pose.onnx"] = Page(GRAPH)
    assert (fetch(release(hub), quiet=True) / "pose.onnx").read_bytes() == GRAPH


def test_without_an_etag_a_download_begins_again(hub):
    hub.pages["/r/pose.onnx"] = Page(GRAPH, cut=1000, etag=False)
    assert (fetch(release(hub), quiet=True) / "pose.onnx").read_bytes() == GRAPH
    assert all("Range" not in headers for _, headers in hub.asked)
