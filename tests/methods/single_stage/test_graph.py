"""The whole graph against recorded inference, and its properties."""

import numpy as np
import pytest
import torch
from torch import Tensor

from everypose.methods.single_stage import graph
from everypose.methods.single_stage.decoding import Decoder, Search, decode, keypoint_score_factor
from everypose.methods.single_stage.graph import SingleStageGraph
from everypose.methods.single_stage.losses import probabilities
from everypose.skeleton.skeleton import Skeleton
from golden_vectors import load, tiny_boir, tiny_cid

FLIP = torch.from_numpy(Skeleton.named("coco").flip_index)


@pytest.fixture
def _normalized_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recorded images are normalized already; the graph then only moves the channels."""
    monkeypatch.setattr(graph, "normalize", lambda images, _: images.permute(0, 3, 1, 2))


def run(
    network: torch.nn.Module, images: Tensor, flip: int, min_score: float = 0.0, search: Search = "full"
) -> tuple[Tensor, Tensor, Tensor]:
    with torch.no_grad():
        graph = SingleStageGraph(network.eval(), FLIP, search=search)
        found: tuple[Tensor, Tensor, Tensor] = graph(images, torch.zeros(flip), torch.tensor(min_score))
    return found


@pytest.mark.usefixtures("_normalized_input")
@pytest.mark.parametrize("flip", [0, 1])
@pytest.mark.parametrize("shape", ["square", "wide"])
def test_boir_inference_equals_the_release(shape: str, flip: int) -> None:
    vectors = load("boir_tiny")
    name = f"infer_{shape}_flip{flip}"
    keypoints, scores, _ = run(tiny_boir(), torch.from_numpy(vectors[f"{name}/image"]).permute(0, 2, 3, 1), flip)
    poses = vectors[f"{name}/poses"]
    assert keypoints.shape == poses.shape
    assert np.abs(keypoints.numpy() - poses)[..., :2].max() < 1e-3
    assert np.abs(keypoints.numpy() - poses)[..., 2].max() < 1e-5
    assert np.abs(scores.numpy() - vectors[f"{name}/scores"]).max() < 1e-5


@pytest.mark.usefixtures("_normalized_input")
@pytest.mark.parametrize("flip", [0, 1])
def test_cid_inference_equals_the_release(flip: int) -> None:
    vectors = load("cid_tiny")
    image = torch.from_numpy(load("boir_tiny")["batch0/image"])[None].permute(0, 2, 3, 1)
    keypoints, scores, _ = run(tiny_cid(), image, flip)
    assert np.abs(keypoints.numpy() - vectors[f"infer_flip{flip}/poses"]).max() < 1e-3
    assert np.abs(scores.numpy() - vectors[f"infer_flip{flip}/scores"]).max() < 1e-5


@pytest.mark.parametrize("search", ["full", "coarse"])
@pytest.mark.parametrize("flip", [0, 1])
@pytest.mark.parametrize("network", [tiny_boir, tiny_cid])
def test_a_batch_equals_its_images_one_by_one(network: object, flip: int, search: Search) -> None:
    coarse = 255 * torch.rand(3, 3, 8, 16, generator=torch.Generator().manual_seed(0))
    images = torch.nn.functional.interpolate(coarse, size=(64, 128), mode="bilinear").permute(0, 2, 3, 1).byte()
    together = run(network(), images, flip, search=search)
    for i, image in enumerate(images):
        alone = run(network(), image[None], flip, search=search)
        mine = together[2] == i
        assert torch.allclose(together[0][mine], alone[0], atol=1e-4)
        assert torch.allclose(together[1][mine], alone[1], atol=1e-6)


class TwoPeople:
    """A network, and its instance head, that sees the same two people in every image.

    In mirrored images it takes left for right, and sees everything a little lower and less surely.
    """

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        y, x = (side * torch.rand(2, 17, 1, 1, generator=generator) for side in (15, 31))
        self.instance_head = self
        self._views = []
        for lower, sure in ((0.0, 5.0), (0.7, 4.0)):
            distance = (torch.arange(16)[:, None] - y - lower) ** 2 + (torch.arange(32) - x) ** 2
            self._views.append(sure - distance / 4)

    def features(self, images: Tensor) -> Tensor:
        return torch.zeros(len(images), 1, 16, 32)

    def center_map(self, feature: Tensor) -> Tensor:
        centers = torch.zeros_like(feature)
        centers[:, :, 4, 5], centers[:, :, 10, 25] = 0.9, 0.8
        return centers

    def logits(self, order: Tensor) -> Tensor:
        images = len(order) // 2 if (order[0] != order[-1]).any() else len(order)
        mirrored = self._views[1][:, FLIP]
        return torch.stack([(self._views[0] if i < images else mirrored)[:, one] for i, one in enumerate(order)])

    def instance_heatmaps(self, _: Tensor, yx: Tensor, order: Tensor) -> Tensor:
        assert yx[0].tolist() == [[4, 5], [10, 25]]
        return probabilities(self.logits(order))

    def encode_instances(self, feature: Tensor, yx: Tensor) -> None: ...

    def coarse_logits(self, _: None, order: Tensor) -> tuple[Tensor, None]:
        return self.logits(order)[..., ::2, ::2], None

    def logits_at_pixels(self, _: None, __: None, order: Tensor, pixels: Tensor) -> Tensor:
        return self.logits(order).flatten(3).gather(3, pixels)


@pytest.mark.parametrize("decoder", ["quarter", "parabola"])
@pytest.mark.parametrize("flip", [0, 1])
def test_looking_twice_finds_what_looking_everywhere_does(flip: int, decoder: Decoder) -> None:
    images = torch.zeros(3, 64, 128, 3, dtype=torch.uint8)
    everywhere, twice = (
        SingleStageGraph(TwoPeople(), FLIP, decoder=decoder, search=search)(
            images, torch.zeros(flip), torch.tensor(0.1)
        )
        for search in ("full", "coarse")
    )
    assert len(everywhere[0]) == 6
    for one, other in zip(everywhere, twice, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("flip", [0, 1])
def test_people_from_a_score_on_are_those_of_all_that_have_it(flip: int) -> None:
    coarse = 255 * torch.rand(2, 3, 8, 16, generator=torch.Generator().manual_seed(0))
    images = torch.nn.functional.interpolate(coarse, size=(64, 128), mode="bilinear").permute(0, 2, 3, 1).byte()
    network = tiny_boir()
    torch.nn.init.constant_(network.instance_head.heatmap.bias, 20)  # so that people score almost what centers do
    everybody = run(network, images, flip)
    least = float(everybody[1].median())
    some = run(network, images, flip, least)
    assert 0 < (some[1] >= least).sum() <= len(some[1]) < len(everybody[1])
    for value, all_values in zip(some, everybody, strict=True):
        torch.testing.assert_close(value[some[1] >= least], all_values[everybody[1] >= least])


def test_nobody() -> None:
    network = tiny_boir()
    torch.nn.init.constant_(network.center.output.weight, 0)
    torch.nn.init.constant_(network.center.output.bias, -20)
    keypoints, scores, index = run(network, torch.zeros(2, 64, 64, 3, dtype=torch.uint8), 1)
    assert keypoints.shape == (0, 17, 3)
    assert len(scores) == len(index) == 0


def quarter(three: np.ndarray) -> float:
    return float(np.sign(three[2] - three[0]) / 4)


def vertex(three: np.ndarray) -> float:
    """Of the parabola through three values at -1, 0 and 1."""
    a, b, _ = np.polyfit([-1, 0, 1], three, 2)
    return float(-b / (2 * a))


MOVES = {"quarter": quarter, "parabola": vertex}


def literal_decode(heatmap: np.ndarray, decoder: Decoder) -> tuple[float, float, float]:
    height, width = heatmap.shape
    y, x = divmod(int(heatmap.argmax()), width)
    dx = MOVES[decoder](heatmap[y, x - 1 : x + 2]) if 0 < x < width - 1 else 0.0
    dy = MOVES[decoder](heatmap[y - 1 : y + 2, x]) if 0 < y < height - 1 else 0.0
    return 4 * (x + dx) + 2, 4 * (y + dy) + 2, heatmap[y, x]


@pytest.mark.parametrize("decoder", MOVES)
def test_decoding_equals_its_literal_twin(decoder: Decoder) -> None:
    heatmaps = torch.rand(4, 5, 9, 13, generator=torch.Generator().manual_seed(2))
    heatmaps[0, 0, 0, 0] = heatmaps[0, 1, 8, 12] = heatmaps[0, 2, 0, 6] = heatmaps[0, 3, 4, 12] = 2
    twin = [[literal_decode(heatmap, decoder) for heatmap in person] for person in heatmaps.numpy()]
    assert np.allclose(decode(heatmaps, decoder).numpy(), np.array(twin), atol=1e-4)


def literal_certainty(keypoints: list[tuple[float, float, float]]) -> float:
    """One person's, keypoint by keypoint."""
    found = [(x, y, confidence) for x, y, confidence in keypoints if confidence > 0.2]
    if not found:
        return 0.0
    xs, ys, confidences = zip(*found, strict=True)
    area = (max(xs) - min(xs)) * (max(ys) - min(ys))
    return sum(confidences) / len(found) * area / (area + 48 * 48)


def test_what_a_person_is_scored_by() -> None:
    generator = torch.Generator().manual_seed(0)
    keypoints = torch.rand(3, 5, 17, 3, generator=generator) * torch.tensor([300.0, 200.0, 0.6])
    keypoints[0, 0, :, 2] = 0.1
    keypoints[0, 1, 1:, 2] = 0.1
    torch.testing.assert_close(keypoint_score_factor(keypoints), keypoints[..., 2].mean(-1))
    expected = [[literal_certainty(person) for person in image] for image in keypoints.tolist()]
    torch.testing.assert_close(keypoint_score_factor(keypoints, "found"), torch.tensor(expected))
    assert expected[0][:2] == [0, 0], "of nothing, or of one keypoint"


def test_a_larger_person_scores_more() -> None:
    keypoints = torch.rand(17, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([100.0, 100.0, 1.0])
    larger = keypoints * torch.tensor([3.0, 3.0, 1.0])
    assert keypoint_score_factor(keypoints, "found") < keypoint_score_factor(larger, "found")


def test_the_peak_of_a_flat_map_is_not_moved() -> None:
    found = decode(torch.full((1, 1, 5, 5), 0.3), "parabola")
    assert found[0, 0].tolist() == pytest.approx([2, 2, 0.3])
    ridge = torch.zeros(1, 1, 5, 5)
    ridge[0, 0, :, 2] = 1  # along it, the bend is none
    ridge[0, 0, 2, 2] += 1e-7
    assert decode(ridge, "parabola")[0, 0, :2].tolist() == pytest.approx([10, 10], abs=2.01)
