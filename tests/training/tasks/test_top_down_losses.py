from itertools import product

import numpy as np
import pytest
import torch

from everypose.backbones.normalization import IMAGENET
from everypose.methods.mipnet.settings import MIPNetSettings
from everypose.methods.spec import spec_of
from everypose.methods.top_down.settings import HRNetPoseSettings
from everypose.methods.top_down.targets import gaussian_targets
from everypose.methods.vitpose.settings import ViTPoseSettings
from everypose.models.settings import method_of
from everypose.training.run import make_task
from training.crop_recipes import VIT


class Recorder(torch.nn.Module):
    """Keeps what it is shown and answers with given heatmaps."""

    def __init__(self, heatmaps):
        super().__init__()
        self.answer = heatmaps

    def heatmaps(self, images):
        self.seen = images
        return self.answer


# --- losses


def objective_of(settings):
    method = method_of(settings)
    return spec_of(method).objective(method.training())


def half_squared_error(heatmaps, targets, weights):
    """The mean over people, keypoints and cells, literally; each keypoint's cells count half their squared error."""
    total = 0.0
    batch, people, keypoints, height, width = heatmaps.shape
    for b, n, k, y, x in product(range(batch), range(people), range(keypoints), range(height), range(width)):
        difference = weights[b, n, k] * (heatmaps[b, n, k, y, x] - targets[b, n, k, y, x])
        total += 0.5 * difference**2 / (batch * people * keypoints * height * width)
    return total


def test_the_losses_are_the_published_ones():
    """Half the squared error for the baselines and MIPNet (mean over its people), the whole of it for ViTPose."""
    torch.manual_seed(0)
    heatmaps, targets = torch.randn(2, 3, 4, 3, 2).double(), torch.randn(2, 3, 4, 3, 2).double()
    weights = (torch.rand(2, 3, 4) < 0.7).double()
    many = sum(objective_of(MIPNetSettings(instances=3))(heatmaps.float(), targets, weights).values())
    assert many.item() == pytest.approx(half_squared_error(heatmaps, targets, weights).item())
    one = [value[:, :1] for value in (heatmaps, targets, weights)]
    literal = half_squared_error(*one).item()
    for settings, factor in (
        (HRNetPoseSettings(), 1),
        (MIPNetSettings(instances=1), 1),
        (ViTPoseSettings(), 2),
    ):
        (loss,) = objective_of(settings)(*one).values()
        assert loss.item() == pytest.approx(factor * literal, rel=1e-6), settings.family


@pytest.mark.parametrize("bgr", [False, True])
def test_a_batch_is_normalized_as_in_the_graph_and_compared_with_its_targets(crops, bgr):
    recipe = crops("model.family=hrnet", f"inference.bgr={str(bgr).lower()}")
    task = make_task(recipe)
    batch = task.samples.collate([task.samples[0], task.samples[1]])
    targets, weights = gaussian_targets(batch.keypoints, (64, 64), (16, 16), 1.0, udp=False)
    network = Recorder(targets.clone())
    assert task.losses(network, batch)["heatmap"].item() == 0
    pixels = batch.images.numpy() / 255
    expected = (pixels[..., ::-1] if bgr else pixels) - np.array(IMAGENET.mean)
    np.testing.assert_allclose(network.seen.permute(0, 2, 3, 1), expected / np.array(IMAGENET.std), atol=1e-5)
    network.answer = torch.zeros_like(targets)
    literal = half_squared_error(network.answer.numpy(), targets.numpy(), weights.numpy())
    assert task.losses(network, batch)["heatmap"].item() == pytest.approx(literal, rel=1e-5)


def test_the_blocks_of_a_vit_may_learn_at_rates_of_their_own(crops):
    task = make_task(crops(*VIT, "optim.layer_decay=0.5", "optim.weight_decay=0.1"))
    groups = task.parameter_groups(task.make_network())
    assert sorted({group["scale"] for group in groups}) == [0.125, 0.25, 0.5, 1.0]
    assert {group["weight_decay"] for group in groups} == {0.0, 0.1}
    plain = make_task(crops('optim.scales={"backbone."=0.1}'))
    assert [group["scale"] for group in plain.parameter_groups(plain.make_network())] == [1.0, 0.1]
