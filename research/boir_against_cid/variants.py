"""The networks that are compared: CID, BoIR, and BoIR without one of its training losses."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from everypose.methods.boir.network import BoIROutputs
from everypose.methods.single_stage.targets import Targets
from everypose.training.recipe import SingleStageRecipe
from everypose.training.recipe_files import load_recipe

CID = 'model={family="cid", instance=64, backbone={kind="openpose-light"}}'
DIVISOR = "losses={divisor=8}"
"""BoIR's in the recipe ``boir-lite-start``; CID's own default differs."""

WARMUP = 20
"""Steps until the learning rate is reached."""


@dataclass(frozen=True)
class Variant:
    """One of the compared networks.

    Attributes:
        name: of its files.
        overrides: of the recipe ``boir-lite-start``.
        bottom_up: whether the bottom-up keypoints are trained; the center map is always.
        contrastive: whether CID's contrastive loss of the instances' vectors is added to BoIR's losses.
    """

    name: str
    overrides: tuple[str, ...] = ()
    bottom_up: bool = True
    contrastive: bool = False


NO_BOXES = ("losses.offset=0", "losses.bbox_mask=0", "losses.bbox=0")
VARIANTS = (
    Variant("cid", (CID, DIVISOR)),
    Variant("cid-losses", NO_BOXES, contrastive=True),
    Variant("boir", ("losses.offset=0",)),
    Variant("no-bbox-mask", ("losses.offset=0", "losses.bbox_mask=0")),
    Variant("no-bbox", ("losses.offset=0", "losses.bbox=0")),
    Variant("no-bottom-up", ("losses.offset=0",), bottom_up=False),
    Variant("no-auxiliary", NO_BOXES, bottom_up=False),
)
"""``cid`` is CID's network. ``cid-losses`` is BoIR's network trained by CID's losses: heatmaps of all people, those of
each instance, and the contrastive loss.

Without the loss of the instance heatmaps, or of the center map, a network finds nothing: these stay. The offset loss,
everypose's own, is off: CID has none.
"""


def recipe_of(
    variant: Variant, trunk: Path, sources: Sequence[tuple[Path, Path]], *, seed: int, steps: int
) -> SingleStageRecipe:
    """The recipe ``boir-lite-start`` for a variant, with its number of steps.

    Args:
        variant: the network.
        trunk: weights of the frozen trunk.
        sources: annotation files and image folders to train on.
        seed: of initial weights and, with the pool, of the order of samples.
        steps: of the cosine.
    """
    train = ", ".join(f'{{annotations="{file}", images="{images}"}}' for file, images in sources)
    settings = [*variant.overrides, f"data.train=[{train}]", "data.val_split=''", "data.skeleton=coco"]
    settings += [f'start.backbone="{trunk}"', f"trainer.seed={seed}", f"schedule.steps={steps}"]
    settings += ["schedule.warmup_epochs=0", f"schedule.warmup_steps={WARMUP}"]
    recipe = load_recipe("boir-lite-start", settings)
    assert isinstance(recipe, SingleStageRecipe)
    return recipe


def without_bottom_up(outputs: BoIROutputs, targets: Targets) -> tuple[BoIROutputs, Targets]:
    """Outputs and targets whose first heatmaps are the center map alone."""

    def center(maps: Tensor) -> Tensor:
        return maps[:, -1:]

    return (
        outputs._replace(multi_heatmap=center(outputs.multi_heatmap)),
        replace(targets, multi_heatmap=center(targets.multi_heatmap)),
    )
