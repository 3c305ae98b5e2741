"""The released MIPNet, HRNet and SimpleBaseline checkpoints: the authors' names and what they tell of the network.

Which modulation sites a file has, and how many people, is read from its names and shapes. Files of the authors' scripts
for three and four people cannot be told from those for two: their selectors are two numbers long as well, but hold a
binary code, which is not the paper's and gives other people than asked for.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from everypose.core.renaming import Renaming
from everypose.methods.checkpoint_sizes import count_parts, hrnet_settings

# At each site, in order, as many blocks as the backbone has branches there.
_HRNET_SITES = (("stage1_se", 2), ("stage2_se", 3), ("stage3_se", 4), ("stage4_se", 1))
_RESNET_SITES = (("layer1_se", 1), ("layer2_se", 1), ("layer3_se", 1), ("layer4_se", 1))


def _blocks(sites: tuple[tuple[str, int], ...]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (f"{site}.se_layers.{branch}.{theirs}.", f"modulation.{i}.{branch}.{ours}.")
        for i, (site, branches) in enumerate(sites)
        for branch in range(branches)
        for theirs, ours in (("fc", "excite"), ("fc_lambda", "embed"))
    )


HRNET = Renaming((("", "backbone."), ("final_layer.", "head."), *_blocks(_HRNET_SITES)))
RESNET = Renaming(
    (("", "backbone."), ("deconv_layers.", "head.deconv."), ("final_layer.", "head.final."), *_blocks(_RESNET_SITES))
)


def recognises(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict is of these networks: a head, and the stem of HRNet or ResNet under no prefix."""
    return "final_layer.weight" in state and "conv1.weight" in state


def read_settings(state: Mapping[str, Tensor]) -> tuple[dict[str, Any], int]:
    """What the authors' state dict tells: the settings of the network, by their names, and its number of keypoints.

    Raises:
        KeyError: with the name of a tensor that would tell, but is not there.
    """
    if _is_resnet(state):
        blocks = tuple(count_parts(state, f"layer{layer}.") for layer in (1, 2, 3, 4))
        backbone = {"kind": "resnet", "blocks": blocks}
        found = {"family": "simple-baseline", "backbone": backbone, "deconv": len(state["deconv_layers.3.weight"])}
    else:
        found = {"family": "hrnet", "backbone": hrnet_settings(state)}
    names = [site for site, _ in (_RESNET_SITES if _is_resnet(state) else _HRNET_SITES)]
    sites = tuple(any(tensor.startswith(f"{site}.") for tensor in state) for site in names)
    if any(sites):
        selector_weights = state[f"{names[sites.index(True)]}.se_layers.0.fc_lambda.0.weight"]
        found |= {"family": "mipnet", "sites": sites, "instances": selector_weights.shape[1]}
    return found, len(state["final_layer.weight"])


def to_ours(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' state dict under our names.

    Files from before PyTorch 0.4.1 lack the counters of batch normalisation. Nothing here reads them: they are 0 then.
    """
    ours = (RESNET if _is_resnet(state) else HRNET).to_ours(state)
    if not any(name.endswith(".num_batches_tracked") for name in ours):
        means = [name for name in ours if name.endswith(".running_mean")]
        ours |= {name.replace("running_mean", "num_batches_tracked"): torch.tensor(0) for name in means}
    return ours


def to_theirs(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of a network of ours under the authors' names."""
    return (RESNET if "head.final.weight" in state else HRNET).to_theirs(state)


def _is_resnet(state: Mapping[str, Tensor]) -> bool:
    return any(name.startswith("deconv_layers.") for name in state)
