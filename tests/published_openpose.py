"""Lightweight OpenPose's trunk as published, literally: with ELUs in the context."""

import torch
import torch.nn.functional as F
from torch import Tensor

from everypose.backbones.openpose_light import Context, Trunk


class PublishedContext(Context):
    def forward(self, x: Tensor) -> Tensor:
        shortcut = F.elu(self.al(x))
        y = F.elu(self.pw[0](shortcut))
        y = F.elu(self.pw[1](F.elu(self.dw[0](y))))
        y = F.elu(self.pw[2](F.elu(self.dw[1](y))))
        y = F.elu(self.pw[3](F.elu(self.dw[2](y))))
        return F.relu(self.out(shortcut + y))


def published_trunk() -> Trunk:
    torch.manual_seed(0)
    trunk = Trunk().eval()
    trunk.context = PublishedContext().eval()
    return trunk


def their_name(ours: str) -> str:
    """One of our parameter names as the Open Model Zoo's file has it, written out case by case."""
    part, kind = ours.rsplit(".", 1)
    fixed = {
        "conv1": "conv1",
        "context.al": "conv4_3_CPM.al",
        "context.pw.0": "conv4_3_CPM.red",
        "context.dw.0": "conv4_3_CPM.dw1",
        "context.pw.1": "conv4_3_CPM.dw1.1x1",
        "context.dw.1": "conv4_3_CPM.dw2",
        "context.pw.2": "conv4_3_CPM.dw2.1x1",
        "context.dw.2": "conv4_3_CPM.dw3",
        "context.pw.3": "conv4_3_CPM.inc",
        "context.out": "conv4_4_CPM",
        "first.shared.0": "conv5_1_CPM_L1",
        "first.shared.1": "conv5_2_CPM_L1",
        "first.shared.2": "conv5_3_CPM_L1",
        "first.fields.0": "conv5_4_CPM_L1",
        "first.fields.2": "conv5_5_CPM_L1",
        "first.heatmaps.0": "conv5_4_CPM_L2",
        "first.heatmaps.2": "conv5_5_CPM_L2",
        "fields.0": "Mconv6_stage2_L1",
        "fields.2": "Mconv7_stage2_L1",
        "heatmaps.0": "Mconv6_stage2_L2",
        "heatmaps.2": "Mconv7_stage2_L2",
    }
    for number in range(5):
        for name, theirs in (("squeeze", "sq"), ("conv", "3x3"), ("dilated", "3x3.2")):
            fixed[f"refinement.{number}.{name}"] = f"Mconv{number + 1}_stage2_L1.{theirs}"
    return f"{fixed.get(part, part.removeprefix('mobilenet.'))}.{kind}"
