"""Lightweight OpenPose (Open Model Zoo human-pose-estimation-0001, Apache-2.0) as the start of a backbone."""

import re
from collections.abc import Mapping

from torch import Tensor

MARK = "conv4_3_CPM.al.weight"
"""A tensor that a file of this network holds and others do not."""

BGR = "conv1.weight"
"""The tensor whose inputs are blue, green and red."""

# Theirs, as patterns, to ours; the first that matches a whole name is taken.
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


def to_ours(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under our names (:mod:`everypose.backbones.openpose_light`), for RGB; unknown ones stay out."""
    ours = {}
    for name, value in theirs.items():
        for pattern, replacement in NAMES:
            if re.match(pattern, name):
                ours["trunk." + _counted_from_zero(re.sub(pattern, replacement, name))] = (
                    value.flip(1) if name == BGR else value
                )
                break
    return ours


def _counted_from_zero(name: str) -> str:
    return re.sub(r"^refinement\.(\d)", lambda found: f"refinement.{int(found[1]) - 1}", name)
