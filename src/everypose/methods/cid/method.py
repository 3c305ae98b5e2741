"""The specification of CID: building, initialization, losses, released checkpoints."""

from torch import Tensor

from everypose.backbones.build import build_backbone
from everypose.methods.cid import checkpoint
from everypose.methods.cid.losses import losses
from everypose.methods.cid.network import CID, CIDOutputs, initialize
from everypose.methods.cid.settings import CIDSettings, CIDTraining
from everypose.methods.single_stage.settings import released_inference
from everypose.methods.single_stage.targets import Targets
from everypose.methods.spec import MethodSpec, Objective


def build(settings: CIDSettings, keypoints: int) -> CID:
    """Make the network with the framework's initial weights.

    >>> backbone = {"kind": "hrnet", "width": 4, "modules": [1, 1, 1], "blocks": 1, "stem_blocks": 1}
    >>> [name for name, _ in build(CIDSettings(backbone=backbone, instance=4), keypoints=17).named_children()]
    ['backbone', 'keypoints_and_center', 'instance_head']
    """
    return CID(build_backbone(settings.backbone), keypoints, settings.instance)


def objective(training: CIDTraining) -> Objective:
    """Return the losses with the weights of a recipe.

    >>> import inspect
    >>> list(inspect.signature(objective(CIDTraining())).parameters)
    ['outputs', 'targets']
    """

    def weighted(outputs: CIDOutputs, targets: Targets) -> dict[str, Tensor]:
        return losses(outputs, targets, training.losses)

    return weighted


SPEC = MethodSpec(
    build=build,
    initialize=initialize,
    objective=objective,
    recognize=checkpoint.recognizes,
    import_state=checkpoint.import_state,
    export_state=checkpoint.RENAMING.to_released,
    released_inference=lambda settings, _skeleton, _crop_size: released_inference(settings),
)
