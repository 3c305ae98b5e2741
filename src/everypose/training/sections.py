"""The sections of a recipe: every field, its default and what it means."""

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from everypose.methods.mipnet.assignment import Rule
from everypose.methods.posebh.phases import Schedule as PhaseSchedule
from everypose.methods.single_stage.augmentation import Augmentation
from everypose.methods.top_down.augmentation import Augmentation as CropAugmentation
from everypose.models.config import ALL_SKELETONS

if TYPE_CHECKING:
    from everypose.methods.posebh.losses import LossSettings as PrototypeLosses

PositiveInt = Annotated[int, Field(ge=1)]
NotNegative = Annotated[float, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
NONE = "none"
"""What stands for nothing in a recipe: TOML has no null."""
Epoch = Annotated[Annotated[int, Field(ge=0)] | None, BeforeValidator(lambda value: None if value == NONE else value)]


class Section(BaseModel):
    """One table of a recipe: no unknown fields, no infinities, no changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Source(Section):
    """One annotated set: a COCO-format file and the folder of its images, relative to ``data.root``."""

    annotations: str
    images: str


class StartSection(Section):
    """What the weights start from; by default the papers' initialisation."""

    weights: str = ""  # a whole model: a name, a folder of ours, or an authors' checkpoint
    backbone: str = ""  # the backbone's weights alone (ImageNet), under the authors' names
    reinitialise: tuple[str, ...] = ()  # beginnings of the parameter names that `weights` does not fill
    transfer_like: str = ""  # PoseBH: the data set of `weights` whose expert and head the one new set starts from
    heads: Literal["paper", "framework"] = "paper"  # hidden weights of the heads; the framework's learn far sooner


class AugmentationSection(Section):
    """Random changes of a training image, drawn anew for every sample; fields as in :class:`Augmentation`."""

    scale: tuple[float, float] = (0.75, 1.5)
    rotation: NotNegative = 30.0
    translation: Annotated[int, Field(ge=0)] = 40
    flip: Probability = 0.5
    brightness: Probability = 0.0
    contrast: Probability = 0.0
    saturation: Probability = 0.0

    def settings(self) -> Augmentation:
        """The same settings as the sample maker takes them."""
        return Augmentation(**dict(self))


class CropAugmentationSection(Section):
    """Random changes of a training crop, drawn anew for every sample; fields as in :class:`CropAugmentation`."""

    scale: Annotated[float, Field(ge=0, lt=1)] = 0.35
    rotation: NotNegative = 45.0
    rotation_probability: Probability = 0.6
    flip: Probability = 0.5
    half_body: Probability = 0.3
    shift: NotNegative = 0.0
    shift_probability: Probability = 0.0

    def settings(self) -> CropAugmentation:
        """The same settings as the sample maker takes them."""
        return CropAugmentation(**dict(self))


class SetAugmentationSection(CropAugmentationSection):
    """The same for a set of a mixture, with ViTPose's numbers; a person's centre is moved once, for the whole run.

    Half bodies are only looked for where the skeleton knows its upper body.
    """

    scale: Annotated[float, Field(ge=0, lt=1)] = 0.5
    rotation: NotNegative = 40.0
    shift: NotNegative = 0.2
    shift_probability: Probability = 0.3


class MixedSet(Section):
    """One data set of a mixture: its files (COCO format or MPII's own), its skeleton and how its crops are cut."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    train: Annotated[tuple[Source, ...], Field(min_length=1)]
    val: Annotated[tuple[Source, ...], Field(max_length=1)] = ()  # empty: not validated
    skeleton: str = ""  # a known skeleton's name or a TOML file; empty: what the annotations say
    convention: Literal["classic", "udp"] = "classic"
    crop: Literal["box", "mpii"] = "box"  # mpii: boxes are squares of a person's height, as MPII gives it
    weight: Annotated[float, Field(gt=0)] = 1.0  # how often each person is seen, beside those of the other sets
    augmentation: SetAugmentationSection = SetAugmentationSection()


class DataSection(Section):
    """What is trained on and what is validated on.

    Without explicit ``train`` / ``val`` sources, the layout of ``dataset`` is looked up under ``root``. ``extra`` sets
    (composed crowds, say) are mixed into the training set. The sizes, the masks and the augmentation are those of the
    families that see whole images; see `CropsSection` for the others.
    """

    root: str = "."
    dataset: str = "coco"
    train_split: str = "train"
    val_split: str = "val"  # empty: no validation
    val_dataset: str = ""  # empty: the same as `dataset`
    train: tuple[Source, ...] = ()
    val: tuple[Source, ...] = ()
    extra: tuple[Source, ...] = ()
    sets: tuple[MixedSet, ...] = ()  # of PoseBH and ViTPose++, which read `root` and `workers` beside them
    skeleton: str = ""  # a known skeleton's name or a TOML file; empty: what the annotations say
    size: PositiveInt = 512
    minimum_area: NotNegative = 1024.0  # a person whose box is smaller, in input pixels, is no instance
    mask_unlabelled: bool = True  # people without keypoints are masked and images with no others left out (COCO)
    exact_flip: bool = False  # a mirrored sample's targets lie where its image shows them; released: 3 pixels beside it
    augmentation: AugmentationSection = AugmentationSection()
    workers: Annotated[int, Field(ge=0, le=256)] = 4

    @model_validator(mode="after")
    def _sets_have_their_own_names(self) -> Self:
        names = [own.name for own in self.sets]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two sets are named {twice[0]}: give each its own name")
        if ALL_SKELETONS in names:
            raise ValueError(f"a set cannot be named {ALL_SKELETONS}, which stands for every skeleton")
        return self

    @model_validator(mode="after")
    def _size_fits_the_network(self) -> Self:
        if self.size % 64:
            raise ValueError(f"size must be a multiple of 64, not {self.size}")
        return self


class CropsSection(Section):
    """Training samples of the families that work on crops; how a crop is cut stands in the recipe's `inference`."""

    sigma: Annotated[float, Field(gt=0)] = 2.0  # of the targets' Gaussians, in cells of a heatmap
    others: Rule = "released"  # which other people MIPNet is to find in a crop; the paper's numbers are the release's
    augmentation: CropAugmentationSection = CropAugmentationSection()


class LossesSection(Section):
    """Weights of the losses of BoIR and CID (spec: "Losses"); those of the other family are not used.

    ``offset`` is of :mod:`everypose.methods.boir.offset_loss`, which the papers do not have.
    """

    multi_heatmap: NotNegative = 1.0
    single_heatmap: NotNegative = 4.0
    bbox: NotNegative = 0.25
    bbox_mask: NotNegative = 0.25
    background: Literal["both", "image", "instance"] = "both"
    offset: NotNegative = 0.0
    contrastive: NotNegative = 1.0


class PhasesSection(Section):
    """When the parts of PoseBH learn, in epochs, "none" for never; fields as in :class:`posebh.schedule.Schedule`.

    ViTPose++ has heads and backbone only.
    """

    prototypes_until: Epoch = 50
    embedding: bool = True
    heads_from: Annotated[int, Field(ge=0)] = 50
    backbone_from: Epoch = 90
    backbone_until: Epoch = None
    cross_type_from: Epoch = 50
    clusters_from: Epoch = None

    @model_validator(mode="after")
    def _clusters_are_of_prototypes_at_rest(self) -> Self:
        moving_until = self.prototypes_until
        if self.clusters_from is not None and (moving_until is None or self.clusters_from < moving_until):
            raise ValueError("clusters_from must not be before prototypes_until: clusters are of prototypes at rest")
        return self

    def settings(self) -> PhaseSchedule:
        """The same as the method takes it."""
        return PhaseSchedule(**dict(self))


class PrototypesSection(Section):
    """Weights and limits of PoseBH's losses; fields as in :class:`posebh.losses.LossSettings`."""

    prototype: NotNegative = 1.25e-5
    contrast: NotNegative = 0.01
    distance: NotNegative = 0.001
    prototype_heatmap: NotNegative = 3.33e-6
    cross_type: NotNegative = 1e-3
    clusters: NotNegative = 0.01
    threshold: Probability = 0.0
    pixel_weight: Literal["confidence", "equal"] = "confidence"
    momentum: Probability = 0.999
    peak: NotNegative = 0.25
    match: NotNegative = 2.1
    cluster_count: PositiveInt = 96  # at most the number of keypoints of all sets

    def settings(self) -> "PrototypeLosses":
        """The same as the method takes it."""
        from everypose.methods.posebh.losses import (
            LossSettings as PrototypeLosses,  # with torch, which recipes need not
        )

        return PrototypeLosses(**self.model_dump(exclude={"cluster_count"}))


class OptimSection(Section):
    """The optimiser; ``clip`` is the largest norm of the gradient, 0 for no clipping.

    Of several beginnings in ``scales`` that fit a parameter, the longest counts. A ViT may have ``layer_decay``
    instead: each of its blocks learns so many times as fast as the next one, 0 for all alike.
    """

    name: Literal["adamw", "adam"] = "adamw"
    lr: Annotated[float, Field(gt=0)] = 1e-3
    scales: dict[str, NotNegative] = {}  # times `lr`, for parameters whose names begin so; 0: they stay as they start
    layer_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    weight_decay: NotNegative = 0.025
    clip: NotNegative = 10.0

    @model_validator(mode="after")
    def _one_rate_of_each_parameter(self) -> Self:
        if self.layer_decay and self.scales:
            raise ValueError("layer_decay says how fast each part learns: leave scales out")
        return self


class ScheduleSection(Section):
    """Length of the training and course of the learning rate; exactly one of ``epochs`` and ``steps`` is above 0."""

    epochs: NotNegative = 0.0
    steps: Annotated[int, Field(ge=0)] = 0
    kind: Literal["cosine", "multistep"] = "cosine"
    warmup_epochs: NotNegative = 10.0
    warmup_steps: Annotated[int, Field(ge=0)] = 0  # in place of `warmup_epochs`, where it is above 0
    warmup_start: NotNegative = 1e-12
    final_lr: NotNegative = 1e-6  # where the cosine ends
    milestones: tuple[float, ...] = ()  # epochs at which multistep multiplies the rate by `gamma`
    gamma: Annotated[float, Field(gt=0)] = 0.1

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.epochs > 0) == (self.steps > 0):
            both = "both are given" if self.epochs else "neither is given"
            raise ValueError(
                f"give the length as epochs or as steps, one of the two (the other 0), but {both}: for epochs add "
                "--set schedule.steps=0, for steps --set schedule.epochs=0"
            )
        return self


class EmaSection(Section):
    """Exponential moving average of the weights, which is then what is validated and shipped; 0 is off."""

    decay: Annotated[float, Field(ge=0, lt=1)] = 0.0


class ValidationSection(Section):
    """AP on the validation set, every so many epochs and at the end (``every_epochs = 0``: only at the end)."""

    every_epochs: NotNegative = 10.0
    images: Annotated[int, Field(ge=0)] = 0  # how many of the set's images; 0 is all
    flip: bool = True  # with the flip test
    pictures: Annotated[int, Field(ge=0)] = 4  # how many of them are drawn for TensorBoard
    protocol: Literal["coco", "crowdpose"] = "coco"


class TrainerSection(Section):
    """The machine's part: precision, batches, processes, checkpoints."""

    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    batch: PositiveInt = 20  # samples a device and step: images, or people for the families that work on crops
    accumulate: PositiveInt = 1
    sync_batchnorm: bool = False
    freeze_batchnorm: bool = False
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    log_steps: PositiveInt = 10
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 10.0
    checkpoint_steps: Annotated[int, Field(ge=0)] = 0  # 0: by the minutes alone
