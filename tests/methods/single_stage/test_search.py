"""Looking twice with the bundled model on real pictures: nearly the people that looking everywhere finds."""

from pathlib import Path

import numpy as np
import pytest
import torch

import everypose
from everypose.data.images import read_image
from everypose.inference.resize import resize
from everypose.methods.single_stage.settings import SingleStageInference
from everypose.models.build import build_graph
from everypose.models.storage import load_model

MODEL = Path(__file__).parents[3] / "weights" / "boir-lite"
PICTURES = sorted((Path(everypose.__file__).parent / "examples").glob("*.jpg"))


@torch.no_grad()
def test_nearly_the_same_keypoints_are_found() -> None:
    network, config = load_model(MODEL)
    settings = [config.on_images.model_copy(update={"search": search}) for search in ("full", "coarse")]
    graphs = [build_graph(network, config.model_copy(update={"inference": one})) for one in settings]
    moved = []
    for picture in PICTURES:
        images = torch.from_numpy(resize(read_image(picture), config.on_images.size, config.on_images.step)[0])[None]
        everywhere, twice = (graph(images, torch.zeros(0), torch.tensor(0.07)) for graph in graphs)
        assert len(everywhere[0]) == len(twice[0]) > 0
        seen = everywhere[0][..., 2] > 0.1 * everywhere[1][:, None]
        moved += (everywhere[0] - twice[0])[..., :2].norm(dim=-1)[seen].tolist()
        assert (everywhere[1] - twice[1]).abs().max() < 0.02
    assert np.median(moved) < 0.02
    assert (np.array(moved) > 1).mean() < 0.05


def test_a_coarse_search_smooths_no_further_than_its_tiles_reach() -> None:
    with pytest.raises(ValueError, match=r"inference\.search=full"):
        SingleStageInference(search="coarse", pool=5)
