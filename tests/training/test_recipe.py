import tomllib
from pathlib import Path
from typing import Any

import pytest

from everypose.backbones.settings import HRNetSettings
from everypose.errors import UsageError
from everypose.methods.boir.settings import BoIRSettings
from everypose.methods.single_stage.settings import ImageAugmentation, SingleStageInference
from everypose.training.recipe import parse_recipe
from everypose.training.recipe_files import load_recipe, recipe_names


def message(source: str | Path, *overrides: str) -> str:
    with pytest.raises(UsageError) as caught:
        load_recipe(source, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "mine.toml") -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


SMALLEST = '[model]\nfamily = "boir"\n[schedule]\nepochs = 2\n'


@pytest.mark.parametrize("name", recipe_names())
def test_every_bundled_recipe_is_valid_and_knows_its_name(name):
    recipe: Any = load_recipe(name)
    assert recipe.name == name
    assert recipe.description
    if isinstance(recipe.inference, SingleStageInference):
        # boir-lite learns at 448 pixels, on photos made smaller, and sees images at 320, for speed.
        assert recipe.inference.size >= (320 if name == "boir-lite" else recipe.data.size)


def test_published_experiments_are_there_with_the_papers_numbers():
    coco: Any = load_recipe("boir-w32-coco")
    assert (coco.optim.name, coco.optim.lr, coco.optim.weight_decay, coco.optim.clip) == ("adamw", 1e-3, 0.025, 10)
    assert (coco.schedule.epochs, coco.schedule.warmup_epochs, coco.schedule.final_lr) == (140, 10, 1e-6)
    assert (coco.losses.multi_heatmap, coco.losses.single_heatmap, coco.losses.bbox, coco.losses.bbox_mask) == (
        1, 4, 0.25, 0.25,
    )  # fmt: skip
    assert coco.losses.background == "both"
    assert load_recipe("boir-w48-coco").data.size == 640  # type: ignore[attr-defined]
    for width in (32, 48):
        crowd: Any = load_recipe(f"boir-w{width}-crowdpose")
        assert (crowd.schedule.epochs, crowd.data.train_split, crowd.data.minimum_area) == (310, "trainval", 0)
        tuned: Any = load_recipe(f"boir-w{width}-crowdpose-finetune")
        assert (tuned.schedule.epochs, tuned.schedule.warmup_epochs, tuned.losses.bbox) == (
            100,
            10 if width == 48 else 1,
            1.0,
        )
        assert tuned.start.weights == f"boir-w{width}-coco"
        assert len(tuned.start.reinitialize) == 2
        assert tuned.trainer.sync_batchnorm == (width == 32)
        ochuman = load_recipe(f"boir-w{width}-ochuman")
        assert (ochuman.inference.pool, ochuman.inference.nms) == (11, 0.7)
    cid = load_recipe("cid-w32-coco")
    assert (cid.optim.name, cid.schedule.kind, cid.schedule.milestones) == ("adam", "multistep", (90, 120))
    assert load_recipe("cid-w32-crowdpose").schedule.milestones == (200, 260)


PUBLISHED = [
    *(f"boir-w{width}-{data}" for width in (32, 48) for data in ("coco", "crowdpose", "crowdpose-finetune", "ochuman")),
    *(f"cid-w{width}-{data}" for width in (32, 48) for data in ("coco", "crowdpose", "ochuman")),
]


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_experiment_in_every_number(name):
    """The papers' settings, one by one: 4 GPUs with 20 images each, and what differs by method, width and data set."""
    recipe: Any = load_recipe(name)
    method, width, data = name.split("-", 2)
    w48, boir, tuned = width == "w48", method == "boir", data == "crowdpose-finetune"
    crowdpose, ochuman = data.startswith("crowdpose"), data == "ochuman"

    assert recipe.model.family == method
    assert recipe.model.backbone == HRNetSettings(width=48 if w48 else 32)
    channels = {("boir", "w32"): 64, ("boir", "w48"): 96, ("cid", "w32"): 32, ("cid", "w48"): 48}
    assert recipe.model.instance == channels[method, width]
    if boir:
        assert recipe.model == BoIRSettings(backbone=recipe.model.backbone, instance=recipe.model.instance)
        loss = recipe.losses
        assert (loss.bbox, loss.bbox_mask, loss.background) == (1.0 if tuned else 0.25, 0.25, "both")
    assert (recipe.losses.multi_heatmap, recipe.losses.single_heatmap) == (1, 4)
    assert boir or recipe.losses.contrastive == 1

    size = 640 if w48 else 512
    assert (recipe.data.size, recipe.inference.size) == (size, size)
    assert recipe.data.augmentation == ImageAugmentation(scale=(0.75, 1.5), rotation=30, translation=40, flip=0.5)
    assert recipe.data.minimum_area == (0 if crowdpose else 32 * 32)
    assert recipe.data.mask_unlabeled != crowdpose
    assert not recipe.data.exact_flip
    assert (recipe.data.dataset, recipe.data.train_split, recipe.data.val_dataset, recipe.data.val_split) == (
        ("crowdpose", "trainval", "", "test") if crowdpose else ("coco", "train", "ochuman" if ochuman else "", "val")
    )
    assert recipe.validation.protocol == ("crowdpose" if crowdpose else "coco")
    assert recipe.validation.flip
    assert (recipe.inference.pool, recipe.inference.nms) == ((11, 0.7) if ochuman else (3, 0.8))

    plan, optim = recipe.schedule, recipe.optim
    assert (optim.lr, optim.scales) == (1e-3, {})
    if boir:
        assert (optim.name, optim.weight_decay, optim.clip) == ("adamw", 0.025, 10)
        assert plan.epochs == (100 if tuned else 310 if crowdpose else 140)
        assert (plan.kind, plan.warmup_epochs, plan.warmup_start, plan.final_lr) == (
            "cosine", 1 if tuned and not w48 else 10, 1e-12, 1e-6,
        )  # fmt: skip
    else:
        assert (optim.name, optim.weight_decay, optim.clip) == ("adam", 0, 0)
        assert (plan.kind, plan.warmup_epochs, plan.gamma) == ("multistep", 0, 0.1)
        assert (plan.epochs, plan.milestones) == ((300, (200, 260)) if crowdpose else (140, (90, 120)))
    assert (plan.steps, recipe.ema.decay) == (0, 0)

    machine = recipe.trainer
    assert (machine.batch, machine.accumulate, machine.precision) == (20, 1, "auto")
    assert machine.sync_batchnorm == (tuned and not w48)
    assert not machine.freeze_batchnorm
    layers = ("auxiliary.buk.output", "instance_head.heatmap")
    assert (recipe.start.weights, recipe.start.reinitialize) == ((f"boir-{width}-coco", layers) if tuned else ("", ()))


def test_an_unknown_field_is_named_with_the_nearest_right_one(write):
    assert "no field optim.rate" in message(write(SMALLEST + "[optim]\nrate = 1.0\n"))
    assert "optim.weight_deacy; did you mean optim.weight_decay?" in message(
        write(SMALLEST + "[optim]\nweight_deacy = 1.0\n")
    )
    # A right field in the wrong section is found where it belongs.
    assert "trainer.lr; did you mean optim.lr?" in message(write(SMALLEST), "trainer.lr=1e-4")
    assert "data.augmentation.rotations; did you mean data.augmentation.rotation?" in message(
        write(SMALLEST), "data.augmentation.rotations=3"
    )


def test_an_unknown_recipe_names_near_ones():
    assert "boir-w32-coco" in message("boir-w32-cocoo")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[model\n", "not valid TOML"),
        ('[model]\nfamily = "boir"\n', "schedule is missing"),
        ('[model]\nfamily = "boir"\n[schedule]\n', "epochs or as steps"),
        ('[model]\nfamily = "boir"\n[schedule]\nepochs = 1\nsteps = 1\n', "epochs or as steps"),
        ('[model]\nfamily = "yolo"\n[schedule]\nepochs = 1\n', "family"),
        (SMALLEST + "[data]\nsize = 500\n", "multiple of 64"),
        (SMALLEST + "[inference]\nstep = 16\n", "step must be 32 at least with the backbone hrnet"),
        (SMALLEST + "[optim]\nlr = nan\n", "optim.lr"),
        (SMALLEST + '[trainer]\nbatch = "many"\n', "trainer.batch"),
    ],
)
def test_bad_recipes_say_what_is_wrong(write, text, expected):
    assert expected in message(write(text))


def test_a_missing_file_is_named(tmp_path):
    assert "absent.toml" in message(tmp_path / "absent.toml")


def test_overrides_are_typed_and_checked(write):
    recipe = load_recipe(
        write(SMALLEST),
        ["optim.lr=1e-4", "model.family=cid", "schedule.milestones=[1, 2.5]", 'data.root="a b"', "trainer.batch = 3"],
    )
    assert recipe.optim.lr == 1e-4
    assert recipe.model.family == "cid"
    assert recipe.schedule.milestones == (1, 2.5)
    assert recipe.data.root == "a b"
    assert recipe.trainer.batch == 3
    assert "section.field=value" in message(write(SMALLEST), "optim.lr")
    assert "not valid TOML" in message(write(SMALLEST), "schedule.milestones=[1,")
    assert "is not a section" in message(write(SMALLEST), "model.family.x=1")


def test_extends_is_one_level_of_tables_laid_over_tables(write):
    write(SMALLEST + "[optim]\nlr = 1.0\nclip = 3.0\n", "base.toml")
    child = write('extends = "base.toml"\n[optim]\nlr = 2.0\n', "child.toml")
    recipe = load_recipe(child)
    assert (recipe.optim.lr, recipe.optim.clip) == (2.0, 3.0)
    grandchild = write('extends = "child.toml"\n', "grandchild.toml")
    assert "one level" in message(grandchild)


def test_fields_renamed_since_version_0_1_are_read_and_written_by_their_present_names(write):
    names = (
        ('[start]\nreinitialise = ["head."]\n', ("start", "reinitialize"), ("head.",)),  # British spelling
        ("[data]\nmask_unlabelled = false\n", ("data", "mask_unlabeled"), False),  # British spelling
    )
    for text, (section, field), value in names:
        recipe = load_recipe(write(SMALLEST + text))
        assert getattr(getattr(recipe, section), field) == value
        assert parse_recipe(tomllib.loads(recipe.to_toml())) == recipe


def test_sources_may_be_mixed(write):
    text = SMALLEST + '[[data.train]]\nannotations = "a.json"\nimages = "a"\n'
    text += '[[data.extra]]\nannotations = "b.json"\nimages = "b"\n'
    recipe: Any = load_recipe(write(text))
    assert [source.images for source in recipe.data.train + recipe.data.extra] == ["a", "b"]
    assert "data.train.0.image" in message(write(text.replace('images = "a"', 'image = "a"')))


@pytest.mark.parametrize("name", recipe_names())
def test_the_resolved_recipe_reads_back_as_itself(name, write):
    source = '[{annotations="ä\\".json", images="x"}]'
    mixture = load_recipe(name).model.family == "posebh"
    recipe = load_recipe(name, [f'data.sets=[{{name="a", train={source}}}]' if mixture else f"data.train={source}"])
    assert parse_recipe(tomllib.loads(recipe.to_toml())) == recipe
    assert load_recipe(write(recipe.to_toml())) == recipe


def test_a_recipe_with_any_letters_reads_back_as_itself(write) -> None:
    recipe = load_recipe("cid-small", ['name="\U0001f42d \\"m\u00fcsli\\""', 'optim.scales={"\U0001f42d.a" = 0.5}'])
    assert load_recipe(write(recipe.to_toml())) == recipe


def test_stage_ends_differ_from_the_released_places_alone() -> None:
    released: Any = load_recipe("mipnet-w32-256-coco")
    ends: Any = load_recipe("mipnet-w32-256-coco-stage-ends")
    assert ends.model == released.model.model_copy(update={"placement": "stage-ends"})
    same = {"name", "description", "model"}
    assert ends.model_dump(exclude=same) == released.model_dump(exclude=same)
    assert "placement stage-ends is for hrnet: with resnet give released" in message(
        "mipnet-r50-256-coco", "model.placement=stage-ends"
    )


@pytest.mark.parametrize("size", ["w32-256", "w48-384"])
@pytest.mark.parametrize("people", [3, 4])
def test_mipnet_for_more_people_differs_in_their_number_alone(people: int, size: str) -> None:
    two: Any = load_recipe(f"mipnet-{size}-coco")
    more: Any = load_recipe(f"mipnet-{size}-coco-n{people}")
    assert more.model == two.model.model_copy(update={"instances": people})
    same = {"name", "description", "model"}
    assert more.model_dump(exclude=same) == two.model_dump(exclude=same)
