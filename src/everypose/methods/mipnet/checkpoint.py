"""The released MIPNet checkpoints: parameter names, and the network's sizes from their names and shapes.

The modulation sites of a file, and its number of people, are read from its tensors. Files of the authors' scripts for
three and four people have the same shapes as those for two, as their selectors are binary codes of two numbers. They
are recognized, and converted to the paper's one-hot selectors (:mod:`everypose.methods.mipnet.binary_selectors`).
"""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from everypose.backbones.settings import BackboneSettings
from everypose.core.renaming import Renaming
from everypose.errors import EveryposeError
from everypose.methods.mipnet.binary_selectors import count_people, one_hot_state
from everypose.methods.mipnet.settings import MIPNetSettings
from everypose.methods.spec import Imported
from everypose.methods.top_down.checkpoint import (
    HRNET_NAMES,
    RESNET_NAMES,
    is_modulated,
    is_resnet,
    read_hrnet,
    read_simple_baseline,
    renamed,
)
from everypose.methods.top_down.checkpoint import recognizes as recognizes_top_down

# At each site, in order, as many blocks as the backbone has branches there.
_HRNET_SITES = (("stage1_se", 2), ("stage2_se", 3), ("stage3_se", 4), ("stage4_se", 1))
_RESNET_SITES = (("layer1_se", 1), ("layer2_se", 1), ("layer3_se", 1), ("layer4_se", 1))


def _blocks(sites: tuple[tuple[str, int], ...]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (f"{site}.se_layers.{branch}.{released_layer}.", f"modulation.{i}.{branch}.{layer}.")
        for i, (site, branches) in enumerate(sites)
        for branch in range(branches)
        for released_layer, layer in (("fc", "excite"), ("fc_lambda", "embed"))
    )


_HRNET = Renaming((*HRNET_NAMES, *_blocks(_HRNET_SITES)))
_RESNET = Renaming((*RESNET_NAMES, *_blocks(_RESNET_SITES)))


def recognizes(state: Mapping[str, Tensor]) -> bool:
    """Return whether a state dict is that of a released MIPNet.

    >>> recognizes({"conv1.weight": None, "final_layer.weight": None})  # a baseline without modulation blocks
    False
    """
    return recognizes_top_down(state) and is_modulated(state)


def import_state(state: Mapping[str, Tensor], path: Path) -> Imported:
    """Read the network's settings and rename its parameters.

    Raises:
        KeyError: if a tensor whose shape determines a size is missing; with its name.
        EveryposeError: if the number of people cannot be determined.

    >>> from everypose.methods.mipnet.method import build
    >>> backbone = {"kind": "hrnet", "width": 4, "modules": [1, 1, 1], "blocks": 1, "stem_blocks": 1}
    >>> released = export_state(build(MIPNetSettings(backbone=backbone, instances=3), keypoints=17).state_dict())
    >>> found = import_state(released, Path("mipnet.pth"))
    >>> found.settings.instances, found.settings.sites
    (3, (False, False, True, True))
    """
    resnet = is_resnet(state)
    names = [site for site, _ in (_RESNET_SITES if resnet else _HRNET_SITES)]
    one, two, three, four = sites = [any(name.startswith(f"{site}.") for name in state) for site in names]
    instances = state[f"{names[sites.index(True)]}.se_layers.0.fc_lambda.0.weight"].shape[1]
    if instances == 2:
        try:
            instances = count_people(state)
        except EveryposeError as error:
            raise EveryposeError(f"{path}: {error}") from error
        state = one_hot_state(state, instances) if instances > 2 else state
    backbone: BackboneSettings
    if resnet:
        baseline = read_simple_baseline(state)
        backbone, deconv = baseline.backbone, {"deconv": baseline.deconv}
    else:
        backbone, deconv = read_hrnet(state).backbone, {}
    settings = MIPNetSettings(backbone=backbone, sites=(one, two, three, four), instances=instances, **deconv)
    return Imported(settings, len(state["final_layer.weight"]), renamed(state, _RESNET if resnet else _HRNET))


def export_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the parameters of a MIPNet to those of a released checkpoint.

    Raises:
        EveryposeError: if its blocks are at the ends of HRNet's stages, which no released network has.

    >>> from everypose.methods.mipnet.method import build
    >>> backbone = {"kind": "hrnet", "width": 4, "modules": [1, 1, 1], "blocks": 1, "stem_blocks": 1}
    >>> released = export_state(build(MIPNetSettings(backbone=backbone), keypoints=17).state_dict())
    >>> [name for name in released if "_se." in name][0]
    'stage3_se.se_layers.0.fc.0.weight'
    """
    if "head.final.weight" in state:
        return _RESNET.to_released(state)
    for site, (_, branches) in enumerate(_HRNET_SITES):
        blocks = {name.split(".")[2] for name in state if name.startswith(f"modulation.{site}.")}
        if blocks and len(blocks) != branches:
            raise EveryposeError(
                "a MIPNet with placement stage-ends has no authors' form: only one with placement released can be "
                "written with --back"
            )
    return _HRNET.to_released(state)
