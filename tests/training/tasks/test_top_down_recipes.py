from typing import Any

import pytest

from everypose.backbones.settings import HRNetSettings, ResNetSettings
from everypose.methods.mipnet.settings import MIPNetSettings
from everypose.methods.top_down.settings import CropAugmentation
from everypose.training.recipe_files import load_recipe

SIMPLE_BASELINE = CropAugmentation(scale=0.3, rotation=40.0, half_body=0.0)
HRNETS = [
    ("hrnet", f"w{width}", size, data) for width in (32, 48) for size in (256, 384) for data in ("coco", "crowdpose")
]
RESNETS = [("simple-baseline", f"r{depth}", size, "coco") for depth in (50, 101, 152) for size in (256, 384)]
MIPNETS = [("mipnet", *rest) for _, *rest in HRNETS + RESNETS] + [("mipnet", "r101", 384, "crowdpose")]
BLOCKS = {"r50": (3, 4, 6, 3), "r101": (3, 4, 23, 3), "r152": (3, 8, 36, 3)}


@pytest.mark.parametrize(("family", "trunk", "size", "data"), HRNETS + RESNETS + MIPNETS)
def test_every_published_experiment_in_every_number(family, trunk, size, data):
    recipe: Any = load_recipe(f"{family}-{trunk}-{size}-{data}")
    resnet, crowd, mipnet = trunk in BLOCKS, data == "crowdpose", family == "mipnet"
    last_site = mipnet and resnet and crowd
    assert recipe.model.family == family
    backbone = ResNetSettings(blocks=BLOCKS[trunk]) if resnet else HRNetSettings(width=int(trunk[1:]))
    assert recipe.model.backbone == backbone
    if mipnet:
        assert recipe.model.sites == (False, False, not last_site, True)
        assert (recipe.model.instances, recipe.crops.others) == (2, "released")
    cut = recipe.inference
    assert (cut.crop_size, recipe.crops.sigma) == (((192, 256), 2) if size == 256 else ((288, 384), 3))
    assert (cut.padding, cut.convention, cut.decoder, cut.bgr) == (1.25, "classic", "quarter", resnet)
    assert (cut.decay, cut.nms) == (0.5, None if crowd else 0.9)
    assert recipe.crops.augmentation == (SIMPLE_BASELINE if resnet else CropAugmentation())
    assert (recipe.data.dataset, recipe.data.train_split, recipe.data.val_split) == (data, "train", "val")
    assert recipe.validation.protocol == data
    assert recipe.validation.flip

    plan, optim = recipe.schedule, recipe.optim
    assert (optim.name, optim.lr, optim.weight_decay, optim.clip) == ("adam", 1e-3, 0, 0)
    assert (optim.scales, optim.layer_decay) == ({}, 0)
    assert (plan.kind, plan.gamma, plan.warmup_epochs) == ("multistep", 0.1, 0)
    short, long, resnets = (110, (70, 100)), (210, (170, 200)), (140, (90, 120))
    published = (short if not crowd else long) if mipnet else (resnets if resnet else long)
    assert (plan.epochs, plan.milestones) == ((210, (90, 120)) if last_site else published)

    heads = {"": ("", ()), "coco": (f"-{trunk}-{size}-coco", ("modulation.",))}
    source, reinitialize = heads["coco" if mipnet and not last_site else ""]
    assert recipe.start.weights == (source and ("simple-baseline" if resnet else "hrnet") + source)
    assert recipe.start.reinitialize == (*reinitialize, *(("head.",) if reinitialize and crowd else ()))

    people = 16 if last_site else 10 if mipnet and trunk == "w48" else 24 if (trunk, size) == ("w48", 384) else 32
    assert recipe.trainer.batch == people
    assert (recipe.trainer.accumulate, recipe.trainer.precision, recipe.ema.decay) == (1, "auto", 0)


def test_the_authors_other_command_has_blocks_at_all_sites():
    recipe: Any = load_recipe("mipnet-w32-256-coco-all-sites")
    assert recipe.model.sites == (True,) * 4
    assert (recipe.schedule.epochs, recipe.schedule.milestones, recipe.trainer.batch) == (210, (170, 200), 32)
    assert recipe.start.weights == "hrnet-w32-256-coco"


def test_the_small_pair_differs_in_the_family_alone():
    hrnet, mipnet = load_recipe("hrnet-pose-small"), load_recipe("mipnet-small")
    assert mipnet.model == MIPNetSettings(backbone=hrnet.model.backbone)
    assert hrnet.crops.model_dump() == mipnet.crops.model_dump(exclude={"others"})  # type: ignore[attr-defined]
    for section in ("start", "inference", "data", "optim", "schedule", "ema", "validation", "trainer"):
        assert getattr(hrnet, section) == getattr(mipnet, section)
    assert hrnet.inference.crop_size == (96, 128)
