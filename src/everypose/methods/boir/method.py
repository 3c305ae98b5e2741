"""The specification of BoIR: building, initialization, losses, released checkpoints."""

from torch import Tensor

from everypose.backbones.build import build_backbone
from everypose.methods.boir import checkpoint
from everypose.methods.boir.losses import losses
from everypose.methods.boir.network import BoIR, BoIROutputs, initialize
from everypose.methods.boir.settings import BoIRSettings, BoIRTraining
from everypose.methods.single_stage.settings import released_inference
from everypose.methods.single_stage.targets import Targets
from everypose.methods.spec import MethodSpec, Objective


def build(settings: BoIRSettings, keypoints: int) -> BoIR:
    """Make the network with the framework's initial weights.

    >>> backbone = {"kind": "hrnet", "width": 4, "modules": [1, 1, 1], "blocks": 1, "stem_blocks": 1}
    >>> settings = BoIRSettings(backbone=backbone, instance=4, neck_branch=4, neck=4, head=4, embedding=4)
    >>> [name for name, _ in build(settings, keypoints=17).named_children()]
    ['backbone', 'neck', 'center', 'auxiliary', 'instance_head']
    """
    sizes = settings.model_dump(exclude={"family", "backbone"})
    return BoIR(build_backbone(settings.backbone), keypoints, **sizes)


def objective(training: BoIRTraining) -> Objective:
    """Return the losses with the weights of a recipe.

    >>> import inspect
    >>> list(inspect.signature(objective(BoIRTraining())).parameters)
    ['outputs', 'targets']
    """

    def weighted(outputs: BoIROutputs, targets: Targets) -> dict[str, Tensor]:
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
