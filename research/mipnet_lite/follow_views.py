"""Train the later layers on the mean heatmaps of four crops of each person, so that one crop gives what four do.

    python -m research.mipnet_lite.follow_views TINYPOSE.onnx TRAINED.pt OUT.pt --set train.json images boxes.npz ...

The four crops are the augmented one, its mirror image, a wider one (1.45 in place of 1.25 times the box) and that one's
mirror image; their heatmaps are those of the network itself before this training, of both people. The network before
stage 4 stays, so its maps of all crops are computed once. The result is packed by ``research.mipnet_lite.pack`` with
``--mix 1``. ``TRAINED.pt`` is the result of ``research.mipnet_lite.train``, averaged with the published weights by 0.6.
"""

import argparse
import math
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from everypose.backbones.normalization import normalize
from everypose.backbones.pretrained.tinypose import read_tinypose
from everypose.core.geometry import inverse
from everypose.core.progress import track
from everypose.methods.mipnet.network import MIPNet
from research.mipnet_lite.samples import FLIP, HEIGHT, STRIDE, WIDTH, Floats, Sampler
from research.mipnet_lite.seeds import tail
from research.mipnet_lite.train import LEARNING, build, follow, read_people, save

MIX, LR, WARMUP_STEPS, LEAST_LR, EMA, BATCH = 0.6, 3e-4, 40, 0.02, 0.99, 16
WIDER = 1.25 / 1.45
ORDER = (0, 1, 2, 0, 1, 2, 0, 3, 2, 0)
"""Groups of samples in turn: real photos without and with a second person, composed crowds with and without."""
MIRROR = np.array([[-1.0, 0, WIDTH - STRIDE], [0, 1, 0], [0, 0, 1]])


def matrices_of(matrix: Floats) -> list[Floats]:
    """The four crops' matrices (2, 3) from the image, the given one first."""
    middle = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    wider = np.column_stack([WIDER * matrix[:, :2], WIDER * (matrix[:, 2] - middle) + middle])
    return [each for one in (matrix, wider) for each in (one, (MIRROR @ np.vstack([one, [0, 0, 1]]))[:2])]


def mean_maps(maps: Floats, matrices: list[Floats]) -> Floats:
    """The mean (I, K, h, w) of the heatmaps (I, 4, K, h, w) of four crops, as in the first one."""
    maps[:, 1::2] = maps[:, 1::2, FLIP][..., ::-1]
    back = np.vstack([inverse(matrices[2]), [0, 0, 1]])
    onto = (np.vstack([matrices[0], [0, 0, 1]]) @ back)[:2]
    onto[:, 2] /= STRIDE
    size = (WIDTH // STRIDE, HEIGHT // STRIDE)
    for instance, view, keypoint in np.ndindex(maps.shape[:3]):
        if view >= 2:
            one = np.ascontiguousarray(maps[instance, view, keypoint])
            maps[instance, view, keypoint] = cv2.warpAffine(one, onto, size, flags=cv2.INTER_LINEAR)
    return np.asarray(maps.mean(axis=1))


@torch.no_grad()
def targets_of_crops(network: MIPNet, sampler: Sampler, count: int) -> tuple[list[list[Tensor]], list[Tensor]]:
    """For each of ``count`` crops, the maps before stage 4 and the mean heatmaps (I, K, h, w), both float16."""
    trunks, targets = [], []
    for index in track(range(count), "computing targets", count):
        image, matrix = sampler.photo(ORDER[index % len(ORDER)])
        matrices = matrices_of(matrix)
        crops = [cv2.warpAffine(image, each, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR) for each in matrices]
        maps = network.trunk(normalize(torch.from_numpy(np.stack(crops))))
        mean = mean_maps(tail(network, maps, plain=False).numpy(), matrices)
        trunks.append([level[0].half() for level in maps])
        targets.append(torch.from_numpy(mean).half())
    return trunks, targets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("published", "trained", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--set", action="append", nargs=3, required=True, dest="sets")
    parser.add_argument("--crops", type=int, default=5000)
    parser.add_argument("--steps", type=int, default=400)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    _, network = build(given.published)
    state = torch.load(given.trained, map_location="cpu", weights_only=True)
    published = read_tinypose(given.published)
    network.load_state_dict(state | {name: torch.lerp(one, state[name], MIX) for name, one in published.items()})
    network.eval()
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith(LEARNING))
    trunks, targets = targets_of_crops(network, Sampler(read_people(given.sets), [5, 0]), given.crops)
    layers = [parameter for parameter in network.parameters() if parameter.requires_grad]
    averages = {name: p.detach().clone() for name, p in network.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(layers, weight_decay=0)
    weights = torch.tensor([1.0, 0.5])  # of the primary and the second person
    for step in range(given.steps):
        decay = 0.5 * (1 + math.cos(math.pi * step / given.steps))
        for group in optimizer.param_groups:
            group["lr"] = LR * min(1, (step + 1) / WARMUP_STEPS) * (LEAST_LR + (1 - LEAST_LR) * decay)
        chosen = torch.randint(given.crops, (BATCH,)).tolist()
        maps = [torch.stack(level).float() for level in zip(*(trunks[index] for index in chosen), strict=True)]
        wanted = torch.stack([targets[index] for index in chosen], dim=1).float()
        losses = ((tail(network, maps, plain=False) - wanted) ** 2).mean((1, 2, 3, 4))
        optimizer.zero_grad()
        (100 * (weights * losses).sum()).backward()
        nn.utils.clip_grad_norm_(layers, 1.0)
        optimizer.step()
        follow(averages, network, step, most=EMA)
        if step % 25 == 24:
            print(f"step {step + 1} losses x 100,000 {(1e5 * losses.detach()).tolist()}", flush=True)
    save(network, averages, given.out)


if __name__ == "__main__":
    main()
