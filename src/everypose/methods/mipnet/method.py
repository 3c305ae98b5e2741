"""MIPNet as everypose uses it: building, initialisation, losses, released checkpoints."""

from everypose.backbones.build import build_crop_backbone
from everypose.methods.mipnet import checkpoint
from everypose.methods.mipnet.losses import losses
from everypose.methods.mipnet.network import MIPNet, initialise
from everypose.methods.mipnet.settings import MIPNetSettings, MIPNetTraining
from everypose.methods.spec import Initialisation, MethodSpec, Objective
from everypose.methods.top_down.baselines import initialise as initialise_baseline
from everypose.methods.top_down.baselines import make_baseline
from everypose.methods.top_down.checkpoint import released_inference


def build(settings: MIPNetSettings, keypoints: int) -> MIPNet:
    """Make the network with the framework's initial weights."""
    baseline = make_baseline(build_crop_backbone(settings.backbone), keypoints, settings.deconv)
    return MIPNet(baseline, settings.sites, settings.instances, settings.gain)


def initialise_whole(network: MIPNet, initialisation: Initialisation) -> None:
    """Reinitialise the baseline and the modulation blocks."""
    if initialisation is Initialisation.PAPER:
        for part in (network.backbone, network.head):
            initialise_baseline(part)
        initialise(network)


def objective(_: MIPNetTraining) -> Objective:
    """Return the loss of all people of a crop."""
    return losses


SPEC = MethodSpec(
    build=build,
    initialise=initialise_whole,
    objective=objective,
    recognise=checkpoint.recognises,
    import_state=checkpoint.import_state,
    export_state=checkpoint.export_state,
    released_inference=released_inference,
)
