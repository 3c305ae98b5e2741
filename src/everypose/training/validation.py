"""AP of a network in training, through the graph and the estimator that also serve the finished model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from everypose.boir.network import BoIR
from everypose.cid.network import CID
from everypose.data.scenes import Scene, SceneSet
from everypose.drawing import draw_people
from everypose.evaluation.oks import OksScores, evaluate_oks
from everypose.inference.estimator import Estimator
from everypose.inference.runtimes import RawPoses
from everypose.models import ModelConfig
from everypose.networks import build_graph
from everypose.people import People
from everypose.single_stage.graph import PoseGraph
from everypose.training.recipe import ValidationSection

CHUNK = 16


class GraphRuntime:
    """Runs a network in training as the estimator wants it."""

    def __init__(self, graph: PoseGraph, flip: bool, device: torch.device) -> None:
        self._graph = graph
        self._mirrored = torch.zeros(int(flip), device=device)
        self._device = device

    @torch.no_grad()
    def run(self, images: npt.NDArray[np.uint8]) -> RawPoses:
        """Find the people in a (B, H, W, 3) uint8 batch."""
        keypoints, scores, image_index = self._graph(torch.from_numpy(images).to(self._device), self._mirrored)
        return keypoints.float().cpu().numpy(), scores.float().cpu().numpy(), image_index.cpu().numpy()


@dataclass(frozen=True)
class Prediction:
    """What was found in the images of one process: a COCO results list, and pictures of the first few."""

    results: list[dict[str, Any]]
    pictures: dict[str, npt.NDArray[np.uint8]]


class Validator:
    """Measures a network on a fixed set of images.

    Args:
        scenes: the validation set.
        config: the model's configuration.
        settings: how many images, which protocol, how many pictures.
    """

    def __init__(self, scenes: SceneSet, config: ModelConfig, settings: ValidationSection) -> None:
        self._scenes: Sequence[Scene] = scenes.scenes[: settings.images or None]
        self._skeleton = scenes.skeleton
        self._config = config
        self._settings = settings
        self._truth = _truth(self._scenes)

    def __len__(self) -> int:
        return len(self._scenes)

    def predict(
        self, network: BoIR | CID, device: torch.device, rank: int = 0, world_size: int = 1,
        advance: Callable[[int], None] = lambda _: None,
    ) -> Prediction:  # fmt: skip
        """Find the people in every ``world_size``-th image from the ``rank``-th on; leaves the network in eval mode."""
        network.eval()
        graph = build_graph(network, self._config).to(device)
        estimator = Estimator(GraphRuntime(graph, self._settings.flip, device), self._config, min_score=0.0)
        results: list[dict[str, Any]] = []
        pictures: dict[str, npt.NDArray[np.uint8]] = {}
        mine = list(range(rank, len(self._scenes), world_size))
        for start in range(0, len(mine), CHUNK):
            numbers = mine[start : start + CHUNK]
            found = estimator([self._scenes[number].path for number in numbers])
            for number, people in zip(numbers, found, strict=True):
                scene = self._scenes[number]
                results += people.to_coco(scene.image_id)
                if number < self._settings.pictures:
                    pictures[scene.file_name] = _picture(people)
            advance(len(numbers) * world_size)
        return Prediction(results, pictures)

    def score(self, results: list[dict[str, Any]]) -> OksScores:
        """AP of the results of all processes."""
        return evaluate_oks(self._truth, results, self._skeleton, self._settings.protocol)


def _picture(people: People) -> npt.NDArray[np.uint8]:
    assert people.image is not None
    return draw_people(people.image, people)


def _truth(scenes: Sequence[Scene]) -> dict[str, Any]:
    """The scenes' annotations in COCO's format, repaired as they were read."""
    annotations = [
        {
            "id": int(scene.annotation_ids[n]),
            "image_id": scene.image_id,
            "category_id": 1,
            "keypoints": scene.keypoints[n].ravel().tolist(),
            "num_keypoints": int((scene.keypoints[n, :, 2] > 0).sum()),
            "bbox": [*scene.boxes[n, :2].tolist(), *(scene.boxes[n, 2:] - scene.boxes[n, :2]).tolist()],
            "area": float(scene.areas[n]),
            "iscrowd": int(scene.is_crowd[n]),
        }
        for scene in scenes
        for n in range(len(scene))
    ]
    images = [
        scene.extra | {"id": scene.image_id, "file_name": scene.file_name, "width": scene.width, "height": scene.height}
        for scene in scenes
    ]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
