from typing import Any

import pytest

from everypose.methods.posebh.settings import PhaseSchedule, PoseBHLosses, PoseBHSettings
from everypose.methods.top_down.settings import CropAugmentation, ViTPoseAugmentation
from everypose.training.recipe_files import load_recipe
from methods.posebh.golden_networks import TRANSFER_TO_3DPW, TRANSFER_TO_INTERHAND

# --- the published experiments

VITPOSE = ViTPoseAugmentation(scale=0.5, rotation=40.0, shift=0.2, shift_probability=0.3)


def changed(**fields):
    return VITPOSE.model_copy(update=fields)


NAMES = ("coco", "aic", "mpii", "ap10k", "apt36k", "coco_wholebody")
SIZES = {
    "s": (384, 12, 12, 0.1, 192, 0.8), "b": (768, 12, 12, 0.3, 192, 0.75),
    "l": (1024, 24, 16, 0.5, 256, 0.8), "h": (1280, 32, 16, 0.55, 320, 0.8),
}  # fmt: skip


@pytest.mark.parametrize(
    ("family", "size"), [*(("vitpose-plus", size) for size in "sblh"), ("posebh", "b"), ("posebh", "h")]
)
def test_every_published_mixture_in_every_number(family, size):
    recipe: Any = load_recipe(f"{family}-{size}")
    width, depth, heads, drop_path, part, decay = SIZES[size]
    backbone: Any = recipe.model.backbone
    assert (backbone.width, backbone.depth, backbone.heads) == (width, depth, heads)
    assert (backbone.drop_path, backbone.expert_part, backbone.image_size) == (drop_path, part, (192, 256))
    posebh = family == "posebh"
    assert recipe.model == PoseBHSettings(backbone=backbone, embedding=64 if posebh else 0)
    assert tuple(own.name for own in recipe.data.sets) == NAMES
    for own in recipe.data.sets:
        assert own.skeleton == own.name
        assert own.convention == ("udp" if own.name in ("coco", "mpii") else "classic")
        assert own.crop == ("mpii" if own.name == "mpii" else "box")
        assert own.weight == 1
        mpii = changed(half_body=0, shift_probability=0)
        assert own.augmentation == (mpii if own.name == "mpii" else VITPOSE)
        assert len(own.val) == 1
    cut = recipe.inference
    assert (cut.crop_size, cut.padding, cut.nms) == ((192, 256), 1.25, 0.9)
    optim, plan = recipe.optim, recipe.schedule
    assert (optim.name, optim.lr, optim.weight_decay, optim.clip, optim.layer_decay) == ("adamw", 1e-3, 0.1, 1, decay)
    assert (plan.kind, plan.gamma, plan.warmup_steps) == ("multistep", 0.1, 500)
    assert plan.warmup_start == pytest.approx(0.001 * optim.lr)
    assert (plan.epochs, plan.milestones) == ((100, (50, 90)) if posebh else (210, (170, 200)))
    assert recipe.trainer.batch == 128
    if not posebh:
        assert (recipe.phases.heads_from, recipe.phases.backbone_from) == (0, 0)
    else:
        assert recipe.phases == PhaseSchedule()
        assert recipe.prototypes == PoseBHLosses()
        assert recipe.start.weights == f"vitpose-plus-{size}"
        assert recipe.start.reinitialize == ("embedding.", "prototypes.")


@pytest.mark.parametrize("to", ["3dpw", "interhand"])
def test_both_published_transfers_in_every_number(to):
    recipe: Any = load_recipe(f"posebh-b-{to}")
    hands = to == "interhand"
    assert recipe.phases == (TRANSFER_TO_INTERHAND if hands else TRANSFER_TO_3DPW)
    assert recipe.prototypes == PoseBHLosses(threshold=0.2, pixel_weight="equal", prototype_heatmap=1.25e-5)
    assert (recipe.start.weights, recipe.start.transfer_like) == ("posebh-b", "coco")
    assert (recipe.model.backbone.width, recipe.model.backbone.expert_part) == (768, 0)
    optim, plan = recipe.optim, recipe.schedule
    assert (optim.name, optim.weight_decay, optim.clip, optim.layer_decay) == ("adam", 0, 0, 0)
    assert optim.lr == (5e-4 if hands else 1e-4)
    assert (plan.epochs, plan.milestones, plan.warmup_steps) == ((60, (35, 55), 500) if hands else (30, (10, 15), 500))
    assert recipe.trainer.batch == (96 if hands else 64)
    assert (recipe.inference.padding, recipe.inference.nms) == ((1.5, None) if hands else (1.25, 0.9))
    (own,) = recipe.data.sets
    assert (own.skeleton, own.convention) == ("interhand2d" if hands else "pw3d", "classic")
    assert own.augmentation == (changed(scale=0.3, rotation=90) if hands else VITPOSE)


def test_the_plain_vitpose_in_every_number():
    recipe: Any = load_recipe("vitpose-b-coco")
    assert (recipe.model.family, recipe.model.backbone.width, recipe.model.backbone.experts) == ("vitpose", 768, 0)
    assert (recipe.inference.convention, recipe.inference.decoder) == ("udp", "udp")
    assert recipe.crops.augmentation == CropAugmentation(**VITPOSE.model_dump())
    assert (recipe.optim.layer_decay, recipe.optim.weight_decay, recipe.optim.clip) == (0.75, 0.1, 1)
    assert (recipe.schedule.epochs, recipe.schedule.milestones) == (210, (170, 200))


def test_the_small_recipe_is_for_small_machines():
    recipe: Any = load_recipe("posebh-small")
    assert (recipe.model.backbone.width, recipe.model.backbone.depth) == (96, 4)
    assert recipe.inference.crop_size == recipe.model.backbone.image_size == (96, 128)
    assert [own.name for own in recipe.data.sets] == ["coco", "crowdpose", "mpii"]
    assert recipe.start.heads == "framework"
