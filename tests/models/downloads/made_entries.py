"""Models on the hub and in releases, their contents, and what must hold when a download is refused."""

import hashlib
import io
import json
import struct
import zipfile

import pytest

from everypose.errors import EveryposeError
from everypose.models.catalog import Entry
from everypose.models.downloads.records import folder_of, home
from everypose.models.downloads.store import fetch

CONFIG = b'{"model_type": "vitpose"}'
HEADER = json.dumps({"weight": {"dtype": "F32", "shape": [500], "data_offsets": [0, 2000]}}).encode()
WEIGHTS = struct.pack("<Q", len(HEADER)) + HEADER + bytes(range(250)) * 8
GRAPH = b"\x08\x08" + bytes(range(256)) * 40
OTHER = "f" * 40
SHA256 = {content: hashlib.sha256(content).hexdigest() for content in (CONFIG, WEIGHTS, GRAPH)}


def pose(**file):
    """A model on the hub, with or without what the catalog requires of its weights."""
    files = [{"path": "config.json"}, {"path": "model.safetensors", **file}]
    return Entry(name="pose", family="vitpose", description="", hub={"repository": "us/pose", "files": files})


def release(hub, path="/r/pose.onnx", **more):
    return Entry(name="pose", family="rtmo", description="", release={"url": hub.https + path, **more})


def zipped(members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return content.getvalue()


def require_nothing_stored(entry, partial=0):
    """No file has a model's name, and no more than ``partial`` wait to be resumed."""
    folder = folder_of(entry)
    assert not folder.exists() or not list(folder.iterdir())
    assert len(list((home() / "partial").glob("*.part"))) == partial
    assert not list(home().rglob("*.member"))


def refuse(entry, words, partial=0):
    with pytest.raises(EveryposeError, match=words) as caught:
        fetch(entry, quiet=True)
    assert "\n" not in str(caught.value)
    require_nothing_stored(entry, partial)
    return str(caught.value)
