import pytest

pytest.importorskip("fastapi")

from inference.stand_in import config, write_model
from serving.running import running


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "stand_in.onnx")


@pytest.fixture(scope="session")
def strict_model(tmp_path_factory):
    """The same model under another name, which finds nobody who scores less than 0.5."""
    import json

    metadata = {"everypose": json.dumps(config(min_score=0.5) | {"name": "strict"})}
    return write_model(tmp_path_factory.mktemp("model") / "strict.onnx", metadata)


@pytest.fixture(scope="session")
def service(model, strict_model):
    """A service with two models and small limits."""
    limits = ("--max-mb", 0.5, "--max-megapixels", 1, "--threads", 1)
    with running("-m", model, "-m", strict_model, "--batch", 4, *limits) as started:
        yield started


@pytest.fixture
def client(service):
    with service.client() as opened:
        yield opened
