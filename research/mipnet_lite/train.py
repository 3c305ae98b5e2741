"""Train MIPNet's second instance on PP-TinyPose, with the primary distilled to the unmodified network.

    torchrun --nproc_per_node 2 -m research.mipnet_lite.train TINYPOSE.onnx OUT --set train.json images boxes.npz ...

Stem and stages 2 and 3 stay as published; stage 4, decoder, head and modulation blocks learn together. The gates start
as the identity. ``--plain`` trains the same layers without modulation, on the primary alone. Samples and targets:
:mod:`research.mipnet_lite.samples`. The diary has the command, the seed and the data's hashes.
"""

import argparse
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from everypose.backbones.lite_hrnet import LiteHRNet
from everypose.backbones.normalization import normalize
from everypose.backbones.pretrained.tinypose import read_tinypose
from everypose.data.formats.coco import read_coco
from everypose.methods.mipnet.modulation import MIMB
from everypose.methods.mipnet.network import MIPNet
from everypose.methods.top_down.baselines import HRNetPose
from everypose.skeleton.skeleton import Skeleton
from research.mipnet_lite.samples import (
    Person,
    Sample,
    Sampler,
    detections_of,
    people_of,
    primary_targets,
    second_targets,
)  # fmt: skip

GAIN = 4.0
LR, BLOCK_LR, WARMUP_STEPS, LEAST_LR, EMA = 3e-4, 2e-3, 60, 0.02, 0.998
LEARNING = ("backbone.stages.2.", "backbone.decoder.", "head.")


def build(published: Path) -> tuple[HRNetPose, MIPNet]:
    """The unmodified network, and MIPNet on a copy of it whose gates are open."""
    teacher, student = (HRNetPose(LiteHRNet(), keypoints=17) for _ in range(2))
    tensors = read_tinypose(published)
    teacher.load_state_dict(tensors)
    student.load_state_dict(tensors)
    network = MIPNet(student, gain=GAIN)
    for block in network.modulation.modules():
        if isinstance(block, MIMB):
            for layer in (block.excite[2], block.embed[3]):
                assert isinstance(layer, nn.Linear)
                nn.init.normal_(layer.weight, std=0.001)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith((*LEARNING, "modulation.")))
    return teacher.eval(), network.train()


def read_people(sets: list[list[str]]) -> list[Person]:
    """All boxes of the sets, each an annotation file, its folder of photos and its file of detections."""
    people = []
    for annotations, images, detections in sets:
        boxes = detections_of(Path(detections))
        for scene in read_coco(Path(annotations), Path(images), Skeleton.named("coco")).scenes:
            people += people_of(scene, boxes[str(scene.image_id)], composed="background" in scene.extra)
    return people


def targets_of(samples: list[Sample], published: Tensor, instances: int) -> tuple[Tensor, Tensor]:
    """Targets (N, B, K, h, w) and weights (N, B, K) of a batch."""
    maps, weights = [], []
    for sample, heatmaps in zip(samples, published.numpy(), strict=True):
        primary = primary_targets(sample, heatmaps)
        people = [primary, second_targets(sample, primary)][:instances]
        maps.append(np.stack([one[0] for one in people]))
        weights.append(np.stack([one[1] for one in people]))
    return torch.from_numpy(np.stack(maps, axis=1)), torch.from_numpy(np.stack(weights, axis=1))


def predict(network: MIPNet, images: Tensor, plain: bool) -> Tensor:
    """Heatmaps (N, B, K, h, w); without modulation of the primary alone."""
    if not plain:
        return network.heatmaps(images).transpose(0, 1)
    maps = network.trunk(images)
    heatmaps: Tensor = network.head(network.backbone.finish(network.backbone.steps()[3](maps)))
    return heatmaps[None]


def average_gradients(parameters: list[nn.Parameter]) -> None:
    """The mean of all processes' gradients."""
    flat = torch.cat([parameter.grad.flatten() for parameter in parameters if parameter.grad is not None])
    dist.all_reduce(flat)
    parts = (flat / dist.get_world_size()).split([parameter.numel() for parameter in parameters])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad = part.view_as(parameter)


def save(network: MIPNet, averages: dict[str, Tensor], path: Path) -> None:
    """Write the averaged weights; the embeddings' batch statistics are those of the averaged weights."""
    own = {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(own | averages)
    for block in network.modulation.modules():
        if isinstance(block, MIMB):
            norm = block.embed[1]
            assert isinstance(norm, nn.BatchNorm1d)
            norm.momentum = 1.0
            block.embed(network.selectors.repeat(8, 1))
            norm.momentum = 0.1
    torch.save(network.state_dict(), path)
    network.load_state_dict(own)


def follow(averages: dict[str, Tensor], network: nn.Module, step: int, *, most: float) -> None:
    """Move the running averages of the trained parameters towards their values; they keep ``most`` of their own."""
    share = min(most, (step + 1) / (step + 10))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                averages[name].lerp_(parameter, 1 - share)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("published", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--set", action="append", nargs=3, required=True, dest="sets")
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--steps", type=int, default=1674)
    parser.add_argument("--batch", type=int, default=8, help="of each process")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rank, processes = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    if processes > 1:
        dist.init_process_group("gloo")
    teacher, network = build(given.published)
    sampler = Sampler(read_people(given.sets), [given.seed, rank])
    blocks = [p for name, p in network.named_parameters() if name.startswith("modulation.") and not given.plain]
    layers = [p for name, p in network.named_parameters() if name.startswith(LEARNING)]
    optimizer = torch.optim.AdamW(
        [{"params": layers, "base": LR}, *([{"params": blocks, "base": BLOCK_LR}] if blocks else [])], weight_decay=0
    )
    averages = {name: p.detach().clone() for name, p in network.named_parameters() if p.requires_grad}
    given.out.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    for step in range(given.steps):
        decay = 0.5 * (1 + math.cos(math.pi * step / given.steps))
        factor = min(1, (step + 1) / WARMUP_STEPS) * (LEAST_LR + (1 - LEAST_LR) * decay)
        for group in optimizer.param_groups:
            group["lr"] = factor * group["base"]
        samples = [sampler.draw() for _ in range(given.batch)]
        images = normalize(torch.from_numpy(np.stack([sample.crop for sample in samples])))
        with torch.no_grad():
            published = teacher.heatmaps(images)[:, 0]
        targets, weights = targets_of(samples, published, 1 if given.plain else 2)
        squares = ((predict(network, images, given.plain) - targets) ** 2).mean((-1, -2)) * weights
        losses = squares.mean((1, 2))
        optimizer.zero_grad()
        (100 * losses.sum()).backward()
        if processes > 1:
            average_gradients(layers + blocks)
        nn.utils.clip_grad_norm_(layers + blocks, 1.0)
        optimizer.step()
        follow(averages, network, step, most=EMA)
        if rank == 0 and step % 50 == 49:
            numbers = " ".join(f"{1000 * loss:.3f}" for loss in losses.tolist())
            print(f"step {step + 1} minutes {(time.monotonic() - begin) / 60:.1f} losses {numbers}", flush=True)
    if rank == 0:
        save(network, averages, given.out / "final.pt")


if __name__ == "__main__":
    main()
