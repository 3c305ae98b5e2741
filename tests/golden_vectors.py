"""The golden vectors as the tests use them."""

from pathlib import Path

import numpy as np
import torch

from everypose.backbones.settings import HRNetSettings
from everypose.methods.boir import checkpoint as boir
from everypose.methods.boir.network import BoIR
from everypose.methods.boir.settings import BoIRSettings
from everypose.methods.cid import checkpoint as cid
from everypose.methods.cid.network import CID
from everypose.methods.cid.settings import CIDSettings
from everypose.methods.single_stage.targets import Owners, Targets
from everypose.models.build import build_network

FOLDER = Path(__file__).parent / "golden"
TINY_HRNET = HRNetSettings(width=4, modules=(1, 1, 1), blocks=1)
TINY_BOIR = BoIRSettings(backbone=TINY_HRNET, instance=8, neck_branch=16, neck=32, head=16, embedding=16)
TINY_CID = CIDSettings(backbone=TINY_HRNET, instance=8)


def load(name: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return dict(arrays)


def state(vectors: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """The recorded state dict under the released names."""
    return {name[len("state/") :]: torch.from_numpy(a) for name, a in vectors.items() if name.startswith("state/")}


def tiny_boir() -> BoIR:
    network = build_network(TINY_BOIR, 17)
    network.load_state_dict(boir.RENAMING.to_everypose(state(load("boir_tiny"))))
    assert isinstance(network, BoIR)
    return network


def tiny_cid() -> CID:
    network = build_network(TINY_CID, 17)
    network.load_state_dict(cid.RENAMING.to_everypose(state(load("cid_tiny"))))
    assert isinstance(network, CID)
    return network


# The paper's losses ask nothing of them.
NOBODY = Owners(
    image=torch.zeros(0, dtype=torch.long),
    xy=torch.zeros(0, 17, 2, dtype=torch.long),
    visible=torch.zeros(0, 17, dtype=torch.bool),
    center=torch.zeros(0, 2),
    size=torch.zeros(0),
)


def batch() -> tuple[torch.Tensor, Targets]:
    """The recorded batch: normalized images (2, 3, 64, 64) and the targets of its four people."""
    vectors = load("boir_tiny")

    def both(name: str) -> list[torch.Tensor]:
        return [torch.from_numpy(vectors[f"batch{i}/{name}"]).float() for i in (0, 1)]

    targets = Targets(
        multi_heatmap=torch.stack(both("multi_heatmap")),
        loss_mask=torch.stack(both("multi_mask")),
        instance_heatmaps=torch.cat(both("instance_heatmap")),
        instance_mask=torch.cat(both("instance_mask")),
        instance_image=torch.tensor([0, 0, 0, 1]),
        instance_yx=torch.cat(both("instance_coord")).long(),
        instance_boxes=torch.cat(both("bbox")),
        most_instances=3,
        owners=NOBODY,
    )
    return torch.stack(both("image")), targets


def relative_error(ours: torch.Tensor, golden: np.ndarray) -> float:
    """The largest difference, relative to the largest recorded entry."""
    return float(np.abs(ours.detach().numpy() - golden).max() / np.abs(golden).max())
