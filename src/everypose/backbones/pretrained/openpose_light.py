"""Lightweight OpenPose (Open Model Zoo human-pose-estimation-0001, Apache-2.0) as initial weights of a backbone."""

import re
from collections.abc import Mapping

from torch import Tensor

MARK = "conv4_3_CPM.al.weight"
"""A tensor that a file of this network holds and others do not."""

BGR = "conv1.weight"
"""The tensor whose input channels are in the order blue, green, red."""

# Patterns of released names -> everypose's names; the first pattern that matches the start of a name applies.
NAMES = (
    (r"conv1\.", "conv1."),
    (r"(conv[2-5]_\d)\.(dw|sep)\.", r"mobilenet.\1.\2."),
    (r"conv4_3_CPM\.al\.", "context.al."),
    (r"conv4_3_CPM\.red\.", "context.pw.0."),
    (r"conv4_3_CPM\.dw1\.1x1\.", "context.pw.1."),
    (r"conv4_3_CPM\.dw2\.1x1\.", "context.pw.2."),
    (r"conv4_3_CPM\.inc\.", "context.pw.3."),
    (r"conv4_3_CPM\.dw1\.", "context.dw.0."),
    (r"conv4_3_CPM\.dw2\.", "context.dw.1."),
    (r"conv4_3_CPM\.dw3\.", "context.dw.2."),
    (r"conv4_4_CPM\.", "context.out."),
    (r"conv5_1_CPM_L1\.", "first.shared.0."),
    (r"conv5_2_CPM_L1\.", "first.shared.1."),
    (r"conv5_3_CPM_L1\.", "first.shared.2."),
    (r"conv5_4_CPM_L1\.", "first.fields.0."),
    (r"conv5_5_CPM_L1\.", "first.fields.2."),
    (r"conv5_4_CPM_L2\.", "first.heatmaps.0."),
    (r"conv5_5_CPM_L2\.", "first.heatmaps.2."),
    (r"Mconv([1-5])_stage2_L1\.sq\.", r"refinement.\1.squeeze."),
    (r"Mconv([1-5])_stage2_L1\.3x3\.2\.", r"refinement.\1.dilated."),
    (r"Mconv([1-5])_stage2_L1\.3x3\.", r"refinement.\1.conv."),
    (r"Mconv6_stage2_L1\.", "fields.0."),
    (r"Mconv7_stage2_L1\.", "fields.2."),
    (r"Mconv6_stage2_L2\.", "heatmaps.0."),
    (r"Mconv7_stage2_L2\.", "heatmaps.2."),
)


def to_everypose(released: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename tensors to those of :mod:`everypose.backbones.openpose_light`, for RGB input; drop unknown ones.

    >>> import torch
    >>> bgr = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1)
    >>> {name: value.flatten().tolist() for name, value in to_everypose({"conv1.weight": bgr, "other": bgr}).items()}
    {'trunk.conv1.weight': [3.0, 2.0, 1.0]}
    """
    tensors = {}
    for name, value in released.items():
        for pattern, replacement in NAMES:
            if re.match(pattern, name):
                tensors["trunk." + _counted_from_zero(re.sub(pattern, replacement, name))] = (
                    value.flip(1) if name == BGR else value
                )
                break
    return tensors


def _counted_from_zero(name: str) -> str:
    return re.sub(r"^refinement\.(\d)", lambda found: f"refinement.{int(found[1]) - 1}", name)
