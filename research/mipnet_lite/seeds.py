"""Train the layers after stage 3 on maps computed beforehand: MIPNet, or the same without modulation.

    python -m research.mipnet_lite.seeds TINYPOSE.onnx OUT.pt --set train.json images maps_train.npz
        --set crowds.json images maps_crowds.npz --seed 0 [--plain]

Targets, losses and the start are those of :mod:`research.mipnet_lite.train`; crops are not augmented, and there
are 200 steps of 12 instead of 1,674 of 16. For comparisons over several seeds.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from everypose.backbones.lite_hrnet import LiteHRNet
from everypose.methods.mipnet.network import MIPNet
from research.mipnet_lite.maps import Maps, samples_of
from research.mipnet_lite.samples import SHARES, Sample
from research.mipnet_lite.train import LEARNING, build, follow, save, targets_of

LR, BLOCK_LR, WARMUP_STEPS, LEAST_LR, EMA, BATCH = 2e-4, 2e-3, 30, 0.02, 0.99, 12


class MapSampler:
    """Draws samples from four groups: real or composed, with or without a second person."""

    def __init__(self, sets: list[tuple[Path, Path, Path]], seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._maps = [Maps.read(maps) for _, _, maps in sets]
        every = [
            (index, position, sample)
            for index, (annotations, images, _) in enumerate(sets)
            for position, sample in samples_of(self._maps[index], annotations, images)
        ]
        self.groups = [
            [one for one in every if one[2].composed == composed and (one[2].second is not None) == shared]
            for composed, shared in ((False, False), (False, True), (True, True), (True, False))
        ]

    def draw(self, count: int) -> tuple[list[Tensor], list[Sample]]:
        """The maps of a batch and its samples."""
        rng = self._rng
        picked = [
            group[rng.integers(len(group))] for group in (self.groups[rng.choice(4, p=SHARES)] for _ in range(count))
        ]
        maps = [self._maps[index].tensors(np.array([position])) for index, position, _ in picked]
        return [torch.cat(level) for level in zip(*maps, strict=True)], [sample for _, _, sample in picked]


def tail(network: MIPNet, maps: list[Tensor], plain: bool) -> Tensor:
    """Heatmaps (I, N, K, h, w) of the layers after the trunk."""
    last = network.backbone.steps()[3]
    if plain:
        heatmaps: Tensor = network.head(network.backbone.finish(last(maps)))
        return heatmaps[None]
    people, count = len(network.selectors), len(maps[0])
    selectors = network.selectors[:, None].expand(-1, count, -1).flatten(0, 1)
    first, second = (network.modulation[site] for site in (2, 3))
    assert isinstance(first, nn.ModuleList)
    assert isinstance(second, nn.ModuleList)
    found = last([block(torch.cat([x] * people), selectors) for block, x in zip(first, maps, strict=True)])
    found = [block(x, selectors) for block, x in zip(second, found, strict=True)]
    both: Tensor = network.head(network.backbone.finish(found)).unflatten(0, (people, count))
    return both


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("published", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--set", action="append", nargs=3, type=Path, required=True, dest="sets")
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    teacher, network = build(given.published)
    sampler = MapSampler([tuple(one) for one in given.sets], given.seed)
    print("samples", [len(group) for group in sampler.groups], "seed", given.seed, "plain", given.plain, flush=True)
    backbone = teacher.backbone
    assert isinstance(backbone, LiteHRNet)
    published_tail = backbone.steps()[3]
    blocks = [p for name, p in network.named_parameters() if name.startswith("modulation.") and not given.plain]
    layers = [p for name, p in network.named_parameters() if name.startswith(LEARNING)]
    optimizer = torch.optim.AdamW(
        [{"params": layers, "base": LR}, *([{"params": blocks, "base": BLOCK_LR}] if blocks else [])], weight_decay=0
    )
    averages = {name: p.detach().clone() for name, p in network.named_parameters() if p.requires_grad}
    sums = np.zeros(2 - given.plain)
    for step in range(given.steps):
        decay = 0.5 * (1 + math.cos(math.pi * step / given.steps))
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * min(1, (step + 1) / WARMUP_STEPS) * (LEAST_LR + (1 - LEAST_LR) * decay)
        maps, samples = sampler.draw(BATCH)
        with torch.no_grad():
            published = teacher.head(backbone.finish(published_tail(maps)))
        targets, weights = targets_of(samples, published, 1 if given.plain else 2)
        losses = (((tail(network, maps, given.plain) - targets) ** 2).mean((-1, -2)) * weights).mean((1, 2))
        optimizer.zero_grad()
        (100 * losses.sum()).backward()
        nn.utils.clip_grad_norm_(layers + blocks, 1.0)
        optimizer.step()
        follow(averages, network, step, most=EMA)
        sums += losses.detach().numpy()
        if step % 50 == 49:
            print("step", step + 1, "losses x 1000", (1000 * sums / 50).round(3).tolist(), flush=True)
            sums[:] = 0
    save(network, averages, given.out)


if __name__ == "__main__":
    main()
