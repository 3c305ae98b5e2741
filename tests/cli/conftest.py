import cv2
import pytest

from inference.stand_in import crowd, write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "stand_in.onnx")


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, blocks in [("a7", [(0, 0, 100)]), ("b8", [(0, 0, 50), (1, 1, 200)])]:
        assert cv2.imwrite(str(folder / f"{name}.png"), crowd(blocks)[..., ::-1])
    return folder


@pytest.fixture
def predict(everypose, model, tmp_path):
    def run(*arguments, stdin=b""):
        return everypose("predict", "-m", model, "-o", tmp_path / "out", *arguments, stdin=stdin)

    return run
