"""The specification of PoseBH and ViTPose++: building, initialization, losses, released checkpoints."""

from everypose.backbones.build import build_vit
from everypose.methods.posebh import checkpoint
from everypose.methods.posebh.network import DataSet, PoseBH
from everypose.methods.posebh.select_skeleton import select_skeleton
from everypose.methods.posebh.settings import PoseBHSettings, PoseBHTraining
from everypose.methods.posebh.transfer import adapt_source
from everypose.methods.spec import MethodSpec
from everypose.methods.vitpose.checkpoint import export_state, released_inference
from everypose.methods.vitpose.network import initialize


def build(settings: PoseBHSettings, _: int) -> PoseBH:
    """Make the network with the paper's initial weights; its settings hold the skeletons of its data sets.

    >>> dataset = {"name": "mouse", "skeleton": {"keypoints": ["nose", "tail"]}}
    >>> backbone = {"kind": "vit", "width": 16, "depth": 1, "heads": 2}
    >>> network = build(PoseBHSettings(backbone=backbone, datasets=[dataset], embedding=8, channels=4), 2)
    >>> network.datasets, network.prototypes.bank.shape
    ((DataSet(name='mouse', keypoints=2),), torch.Size([2, 3, 8]))
    """
    datasets = [DataSet(one.name, len(one.skeleton["keypoints"])) for one in settings.datasets]
    vit = build_vit(settings.backbone)
    return PoseBH(vit, datasets, settings.embedding, settings.prototypes, settings.channels)


SPEC: MethodSpec[PoseBHSettings, PoseBH, PoseBHTraining] = MethodSpec(
    build=build,
    initialize=initialize,
    recognize=checkpoint.recognizes,
    import_state=checkpoint.import_state,
    export_state=export_state,
    released_inference=released_inference,
    adapt_source=adapt_source,
    select_skeleton=select_skeleton,
)
