"""What one image costs: the papers' form against ours, in torch and in ONNX Runtime, as ratios in one run.

    python -m benchmarks.inference_cost --size 512 --people 1 10 30 --threads 2 --repeats 5

"Literal" is BoIR-W32 as the papers write it: eager torch, one image, every person's channel and spatial path computed
in full and concatenated before the fusion. Weights are random; the centre map is replaced, after it was computed, by
one with as many peaks as there shall be people. The three forms take turns, so that a noisy machine disturbs all alike.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from everypose.boir.instance_head import InstanceHead
from everypose.boir.network import BoIR
from everypose.export import export_onnx
from everypose.inference.runtimes import OnnxRuntime
from everypose.inference.torch_runtime import TorchRuntime
from everypose.models import BoIRSettings, ModelConfig
from everypose.networks import build_network
from everypose.single_stage.graph import PoseGraph
from everypose.single_stage.heatmaps import normalise
from everypose.skeleton import Skeleton


class PlacedPeople(nn.Module):
    """A network whose centre map shows a given number of people, at the cost of its own centre map."""

    def __init__(self, network: BoIR, people: int) -> None:
        super().__init__()
        self.network = network
        self.places = torch.tensor([(0.5 + i // 6, 0.5 + i % 6) for i in range(people)]) / 6
        self.features = network.features
        self.instance_heatmaps = network.instance_heatmaps

    def center_map(self, feature: Tensor) -> Tensor:
        """The given peaks, after the work of finding one's own."""
        centers = self.network.center_map(feature)
        height, width = centers.shape[-2:]
        rows, columns = torch.arange(height), torch.arange(width)
        row, column = (self.places[:, 0] * height).long(), (self.places[:, 1] * width).long()
        peaks = (rows[:, None] == row[:, None, None]) & (columns == column[:, None, None])
        # Falling heights, so that every form finds the people in the same order.
        heights = 1 - 0.01 * torch.arange(len(peaks))
        return centers * 0 + (peaks * heights[:, None, None]).amax(0)


class LiteralHead(InstanceHead):
    """The instance head as the paper writes it: both paths for every person, concatenated, fused."""

    def forward(self, feature: Tensor, image_index: Tensor, yx: Tensor) -> Tensor:
        """(1, D, h, w) to (P, K, h, w)."""
        shared = self.down(feature).expand(len(yx), -1, -1, -1)
        parameters = feature[image_index, :, yx[:, 0], yx[:, 1]]
        channel_path = shared * self.channel_attention(parameters)[:, :, None, None]
        summed = (shared * self.spatial_attention(parameters)[:, :, None, None]).sum(1, keepdim=True)
        rows, columns = torch.meshgrid(*(torch.arange(side) for side in feature.shape[-2:]), indexing="ij")
        relative = torch.stack([yx[:, 1, None, None] - columns, yx[:, 0, None, None] - rows], dim=1) / 32
        mask = F.instance_norm(self.spatial_conv(torch.cat([summed, relative], dim=1)))
        fused = self.fuse(torch.cat([channel_path, shared * mask], dim=1))
        return self.heatmap(F.relu(F.instance_norm(fused)))


def settle(network: BoIR, image: np.ndarray) -> None:
    """Give batch normalisation the statistics of the image, so that random weights make numbers of a normal size."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        # Pooled features need two images to have statistics.
        pixels = torch.from_numpy(np.concatenate([image, image // 2]))
        network.center_map(network.features(normalise(pixels)))
    network.eval()


def contenders(people: int, size: int, threads: int, folder: Path) -> dict[str, Callable[[], object]]:
    """The three forms on one random image."""
    torch.manual_seed(0)
    settings = BoIRSettings(auxiliary=False)
    network = build_network(settings, 17).eval()
    assert isinstance(network, BoIR)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    image = np.random.default_rng(0).integers(0, 255, (1, size, size, 3), np.uint8)
    settle(network, image)
    config = ModelConfig(name="cost", network=settings, skeleton=Skeleton.named("coco").to_dict())
    placed = PlacedPeople(network, people)
    export_onnx(placed, config, folder / "cost.onnx")
    onnx = OnnxRuntime(folder / "cost.onnx", threads)

    literal_network = build_network(settings, 17).eval()
    literal_network.instance_head.__class__ = LiteralHead
    literal_network.load_state_dict(network.state_dict())
    flip_index = torch.from_numpy(Skeleton.named("coco").flip_index)
    literal = PoseGraph(PlacedPeople(literal_network, people), flip_index)
    pixels, no_flip = torch.from_numpy(image), torch.zeros(0)

    def run_literal() -> object:
        with torch.no_grad():
            return literal(pixels, no_flip)

    runs = {"literal": run_literal}
    ours = TorchRuntime.of(placed, config)
    runs["torch"] = lambda: ours.run(image)
    runs["onnx"] = lambda: onnx.run(image)
    expected = runs["literal"]()[0].numpy()
    assert len(expected) == people
    for name in ("torch", "onnx"):
        moved = np.abs(runs[name]()[0][..., :2] - expected[..., :2]).max(axis=-1)
        print(
            f"{people:3d} people, {name}: {(moved < 0.05).mean():.4f} of the keypoints as the literal form's (0.05 px)"
        )
    return runs


def main() -> None:
    """Time the forms in turns and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--people", type=int, nargs="+", default=[1, 10, 30])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    lines = [
        "| people | literal, s | torch, s | ONNX Runtime, s | literal / torch | literal / ONNX |",
        "|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for people in arguments.people:
            runs = contenders(people, arguments.size, arguments.threads, Path(folder))
            seconds: dict[str, list[float]] = {name: [] for name in runs}
            for _ in range(arguments.repeats):
                for name, run in runs.items():
                    start = time.perf_counter()
                    run()
                    seconds[name].append(time.perf_counter() - start)
            median = {name: statistics.median(values) for name, values in seconds.items()}
            ratios = {
                name: statistics.median(a / b for a, b in zip(seconds["literal"], seconds[name], strict=True))
                for name in ("torch", "onnx")
            }
            lines.append(
                f"| {people} | {median['literal']:.2f} | {median['torch']:.2f} | {median['onnx']:.2f} "
                f"| {ratios['torch']:.2f} | {ratios['onnx']:.2f} |"
            )
    print("\n".join(lines))


if __name__ == "__main__":
    main()
