"""The specification of MIPNet: building, initialization, losses, released checkpoints."""

from everypose.backbones.build import build_crop_backbone
from everypose.methods.mipnet import checkpoint
from everypose.methods.mipnet.losses import losses
from everypose.methods.mipnet.network import MIPNet, initialize
from everypose.methods.mipnet.settings import MIPNetSettings, MIPNetTraining
from everypose.methods.spec import Initialization, MethodSpec, Objective
from everypose.methods.top_down.baselines import initialize as initialize_baseline
from everypose.methods.top_down.baselines import make_baseline
from everypose.methods.top_down.checkpoint import released_inference


def build(settings: MIPNetSettings, keypoints: int) -> MIPNet:
    """Make the network with the framework's initial weights.

    >>> backbone = {"kind": "hrnet", "width": 4, "modules": [1, 1, 1], "blocks": 1, "stem_blocks": 1}
    >>> network = build(MIPNetSettings(backbone=backbone, instances=3), keypoints=17)
    >>> network.selectors.tolist()  # one-hot: one heatmap pass for each person of a crop
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    baseline = make_baseline(build_crop_backbone(settings.backbone), keypoints, settings.deconv)
    return MIPNet(baseline, settings.sites, settings.instances, gain=settings.gain, placement=settings.placement)


def _initialize_whole(network: MIPNet, initialization: Initialization) -> None:
    """Reinitialize the baseline and the modulation blocks."""
    if initialization is Initialization.PAPER:
        for part in (network.backbone, network.head):
            initialize_baseline(part)
        initialize(network)


def objective(_: MIPNetTraining) -> Objective:
    """Return the loss of all people of a crop.

    >>> import inspect
    >>> list(inspect.signature(objective(MIPNetTraining())).parameters)
    ['heatmaps', 'targets', 'weights']
    """
    return losses


SPEC = MethodSpec(
    build=build,
    initialize=_initialize_whole,
    objective=objective,
    recognize=checkpoint.recognizes,
    import_state=checkpoint.import_state,
    export_state=checkpoint.export_state,
    released_inference=released_inference,
)
