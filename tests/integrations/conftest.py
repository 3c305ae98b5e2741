import pytest

import everypose
from inference.stand_in import write_model


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "stand_in.onnx")


@pytest.fixture(scope="session")
def pose(model):
    return everypose.load(model)
