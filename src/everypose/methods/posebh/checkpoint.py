"""The released PoseBH and ViTPose++ checkpoints: parameter names, and the network's sizes from their shapes."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from everypose.errors import EveryposeError
from everypose.methods.posebh.settings import DataSetSettings, PoseBHSettings
from everypose.methods.spec import Imported
from everypose.methods.vitpose.checkpoint import (
    DATASETS_OF_SIZES,
    backbone_settings,
    is_plain,
    read_layout,
    to_everypose,
)
from everypose.methods.vitpose.checkpoint import recognizes as recognizes_vitpose
from everypose.methods.vitpose.released import UDP
from everypose.skeleton.skeleton import Skeleton


def recognizes(state: Mapping[str, Tensor]) -> bool:
    """Return whether a state dict is that of a PoseBH, or of a ViTPose with several heads or experts.

    >>> recognizes({"backbone.stage1.weight": None})
    False
    """
    return recognizes_vitpose(state) and not is_plain(state)


def import_state(state: Mapping[str, Tensor], path: Path) -> Imported:
    """Read the network's settings and rename its parameters.

    Raises:
        KeyError: if a tensor whose shape determines a size is missing; with its name.
        EveryposeError: if its data sets are not those of a known mixture.

    >>> from everypose.methods.posebh.method import build
    >>> from everypose.methods.vitpose.checkpoint import export_state
    >>> backbone = {"kind": "vit", "width": 384, "depth": 1, "heads": 12, "experts": 3, "expert_part": 192}
    >>> names = ("coco", "aic", "mpii")
    >>> datasets = [DataSetSettings(name=name, skeleton=Skeleton.named(name).to_dict()) for name in names]
    >>> network = build(PoseBHSettings(backbone=backbone, datasets=datasets, embedding=0, channels=4), 17)
    >>> found = import_state(export_state(network.state_dict()), Path("vitpose-plus.pth"))
    >>> [dataset.name for dataset in found.settings.datasets]
    ['coco', 'aic', 'mpii']
    """
    layout = read_layout(state, path)
    if layout.keypoints not in DATASETS_OF_SIZES:
        raise EveryposeError(
            f"{path} has heads of {', '.join(map(str, layout.keypoints))} keypoints, which is no mixture that is "
            "known: split it by the authors' tool, and import the parts"
        )
    settings = PoseBHSettings(
        backbone=backbone_settings(layout),
        datasets=tuple(_dataset(name) for name in DATASETS_OF_SIZES[layout.keypoints]),
        embedding=layout.embedding,
        prototypes=layout.prototypes,
        channels=layout.channels,
    )
    return Imported(settings, layout.keypoints[0], to_everypose(state, layout))


def _dataset(name: str) -> DataSetSettings:
    """Return the settings of one of the authors' data sets."""
    return DataSetSettings(
        name=name,
        skeleton=Skeleton.named(name).to_dict(),
        convention="udp" if name in UDP else "classic",
        crop="mpii" if name == "mpii" else "box",
    )
