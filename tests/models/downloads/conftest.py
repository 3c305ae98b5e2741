"""Downloads from a stand-in of the hub, into a folder of the test."""

import pytest

from models.downloads.hub_stand_in import StandIn


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    stand_in = StandIn(tmp_path_factory.mktemp("authority"))
    yield stand_in
    stand_in.close()


@pytest.fixture
def hub(server, tmp_path, monkeypatch):
    server.pages.clear()
    server.asked.clear()
    monkeypatch.setenv("EVERYPOSE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_ENDPOINT", server.http)
    monkeypatch.setenv("SSL_CERT_FILE", str(server.authority))
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("everypose.models.downloads.client.PAUSE", 0.0)
    return server
