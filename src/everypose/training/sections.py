"""The sections of a recipe: every field, its default and its meaning.

Sections that only one method has are in its package, see :class:`everypose.methods.method.MethodTraining`.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from everypose.core.settings import Count, PositiveInt, Probability, Settings
from everypose.methods.method import ALL_SKELETONS
from everypose.methods.single_stage.settings import ImageSampleSettings
from everypose.methods.top_down.settings import Convention, CropRule, ViTPoseAugmentation


class Source(Settings):
    """One annotated set.

    Attributes:
        annotations: a COCO-format file, relative to ``data.root``; empty if each image in the tars has a JSON file.
        images: the folder of its images, relative to ``data.root``; for training also tars that are not compressed: a
            path, a glob, or a range such as ``train-{000..127}.tar``.

    >>> Source(annotations="train.json", images="photos").images
    'photos'
    """

    annotations: str = ""
    images: str


class StartSection(Settings):
    """The weights that training starts from; by default the paper's initialization.

    Attributes:
        weights: a whole model: a name, a model folder, or a released checkpoint.
        backbone: a file with weights of the backbone alone (ImageNet), under the released names.
        reinitialize: prefixes of the parameter names that ``weights`` does not fill.
        heads: initialization of the hidden layers of the heads; the framework's are trained in far fewer steps.

    >>> StartSection(weights="vitpose-b").heads
    'paper'
    """

    weights: str = ""
    backbone: str = ""
    reinitialize: tuple[str, ...] = ()
    heads: Literal["paper", "framework"] = "paper"


class MixtureStartSection(StartSection):
    """The weights that the training of a PoseBH or ViTPose++ starts from.

    Attributes:
        transfer_like: the data set of ``weights`` whose expert and head the one new data set starts from.

    >>> MixtureStartSection(weights="posebh-b", transfer_like="ap10k").transfer_like
    'ap10k'
    """

    transfer_like: str = ""


class DataSection(Settings):
    """Where the data is.

    Attributes:
        root: the folder that relative paths start from.
        workers: loader processes that read and augment images.

    >>> DataSection(root="data/mine").workers
    4
    """

    root: str = "."
    workers: Annotated[int, Field(ge=0, le=256)] = 4


class OneSetSection(DataSection):
    """The training and validation data of one skeleton.

    Without explicit ``train`` and ``val`` sources, the layout of ``dataset`` is looked up under ``root``.

    Attributes:
        dataset: the layout's name, such as "coco" or "crowdpose".
        train_split: the split to train on.
        val_split: the split to validate on; empty for no validation.
        val_dataset: the layout of the validation data; empty for ``dataset``.
        train: explicit training sources.
        val: an explicit validation source.
        extra: sources that are added to the training data, such as composed crowds.
        skeleton: a known skeleton's name or a TOML file; empty for what the annotations say.

    >>> OneSetSection(dataset="crowdpose", train_split="trainval").val_split
    'val'
    """

    dataset: str = "coco"
    train_split: str = "train"
    val_split: str = "val"
    val_dataset: str = ""
    train: tuple[Source, ...] = ()
    val: tuple[Source, ...] = ()
    extra: tuple[Source, ...] = ()
    skeleton: str = ""


class ImageDataSection(OneSetSection, ImageSampleSettings):
    """The data of a single-stage method, and how an image becomes a training sample.

    >>> ImageDataSection(size=256).dataset
    'coco'
    """


class MixedSet(Settings):
    """One data set of a mixture.

    Attributes:
        name: the data set's name.
        train: its training sources, in COCO's or MPII's format.
        val: its validation source; empty for no validation.
        skeleton: a known skeleton's name or a TOML file; empty for what the annotations say.
        convention: how pixels of the image and of the crop correspond.
        crop: how a box becomes a crop; "mpii" if boxes are squares of a person's height, as in MPII.
        weight: how often each of its people is sampled, relative to those of the other data sets.
        augmentation: ranges of the random augmentation. A person's translation is drawn once for the whole run. Half
            bodies are cropped only if the skeleton knows its upper body.

    >>> MixedSet(name="mice", train=({"annotations": "mice.json", "images": "images"},), weight=2.0).convention
    'classic'
    """

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    train: Annotated[tuple[Source, ...], Field(min_length=1)]
    val: Annotated[tuple[Source, ...], Field(max_length=1)] = ()
    skeleton: str = ""
    convention: Convention = "classic"
    crop: CropRule = "box"
    weight: PositiveFloat = 1.0
    augmentation: ViTPoseAugmentation = ViTPoseAugmentation()


class MixtureDataSection(DataSection):
    """The data sets that a PoseBH or ViTPose++ is trained on.

    Attributes:
        sets: the data sets, in the order of their heads.

    >>> sets = [{"name": "mice", "train": [{"annotations": "mice.json", "images": "images"}]}]
    >>> [one.name for one in MixtureDataSection(sets=sets).sets]
    ['mice']
    """

    sets: tuple[MixedSet, ...] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        if not self.sets:
            raise ValueError("a mixture needs data sets: list them as [[data.sets]]")
        names = [own.name for own in self.sets]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two sets are named {twice[0]}: give each its own name")
        if ALL_SKELETONS in names:
            raise ValueError(f"a set cannot be named {ALL_SKELETONS}, which stands for every skeleton")
        return self


class OptimSection(Settings):
    """The optimizer.

    Attributes:
        name: AdamW or Adam.
        lr: peak learning rate.
        layer_decay: of a ViT: learning-rate multiplier of each block relative to the next one; 0 for no decay.
        weight_decay: weight decay.
        clip: largest norm of the gradient; 0 for no clipping.

    >>> OptimSection(lr=3e-4).lr
    0.0003
    """

    name: Literal["adamw", "adam"] = "adamw"
    lr: PositiveFloat = 1e-3
    layer_decay: Probability = 0.0
    weight_decay: NonNegativeFloat = 0.025
    clip: NonNegativeFloat = 10.0


class ScaledOptimSection(OptimSection):
    """The optimizer, with learning-rate multipliers.

    Attributes:
        scales: learning-rate multipliers by prefix of a parameter's name; 0 freezes. The longest prefix that
            matches counts.

    >>> ScaledOptimSection(scales={"backbone.": 0.1}).scales
    {'backbone.': 0.1}
    """

    scales: dict[str, NonNegativeFloat] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_rate_for_each_parameter(self) -> Self:
        if self.layer_decay and self.scales:
            raise ValueError("layer_decay determines all learning rates: leave scales out")
        return self


class ScheduleSection(Settings):
    """Length of the training and course of the learning rate; exactly one of ``epochs`` and ``steps`` is above 0.

    Attributes:
        epochs: length in epochs.
        steps: length in optimizer steps.
        kind: after the warm-up: a cosine to ``final_lr``, or ``gamma`` at each milestone.
        warmup_epochs: length of the linear warm-up.
        warmup_steps: the same in steps; replaces ``warmup_epochs`` if it is above 0.
        warmup_start: learning rate at the start of the warm-up.
        final_lr: learning rate at the end of the cosine.
        milestones: epochs at which the learning rate is multiplied by ``gamma``.
        gamma: learning-rate multiplier of each milestone.

    >>> ScheduleSection(epochs=20).epochs
    20.0
    """

    epochs: NonNegativeFloat = 0.0
    steps: Count = 0
    kind: Literal["cosine", "multistep"] = "cosine"
    warmup_epochs: NonNegativeFloat = 10.0
    warmup_steps: Count = 0
    warmup_start: NonNegativeFloat = 1e-12
    final_lr: NonNegativeFloat = 1e-6
    milestones: tuple[float, ...] = ()
    gamma: PositiveFloat = 0.1

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.epochs > 0) == (self.steps > 0):
            both = "both are given" if self.epochs else "neither is given"
            raise ValueError(
                f"give the length as epochs or as steps, one of the two (the other 0), but {both}: for epochs add "
                "--set schedule.steps=0, for steps --set schedule.epochs=0"
            )
        return self


class EmaSection(Settings):
    """Exponential moving average of the weights; the average is validated and saved.

    Attributes:
        decay: momentum of the average; 0 is off.

    >>> EmaSection(decay=0.999).decay
    0.999
    """

    decay: Annotated[float, Field(ge=0, lt=1)] = 0.0


class ValidationSection(Settings):
    """Validation while training.

    Attributes:
        every_epochs: epochs between validations; 0 for the end of the training only.
        images: number of validation images; 0 for all.
        flip: whether to use test-time flip augmentation.
        pictures: number of images with predictions for the logs.
        protocol: the protocol of AP.

    >>> ValidationSection().flip
    True
    """

    every_epochs: NonNegativeFloat = 10.0
    images: Count = 0
    flip: bool = True
    pictures: Count = 4
    protocol: Literal["coco", "crowdpose"] = "coco"


class TrainerSection(Settings):
    """Precision, batches, processes, checkpoints.

    Attributes:
        precision: ``auto`` is mixed precision on a GPU and float32 on a CPU.
        batch: samples for each device and forward pass: images, or people for top-down methods.
        accumulate: forward passes for each optimizer step.
        sync_batchnorm: whether batch normalization uses the statistics of all GPUs.
        freeze_batchnorm: whether batch normalization keeps its running statistics.
        compile: whether the network is compiled by ``torch.compile``: a slow start, then faster steps on a GPU.
        seed: seed of weights, order and augmentation.
        log_steps: steps between two log entries.
        checkpoint_minutes: minutes between checkpoints.
        checkpoint_steps: steps between checkpoints; 0 for the minutes alone.

    >>> TrainerSection(batch=8).accumulate
    1
    """

    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    batch: PositiveInt = 20
    accumulate: PositiveInt = 1
    sync_batchnorm: bool = False
    freeze_batchnorm: bool = False
    compile: bool = False
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    log_steps: PositiveInt = 10
    checkpoint_minutes: PositiveFloat = 10.0
    checkpoint_steps: Count = 0


LoggerName = Literal["tensorboard", "csv", "wandb", "mlflow"]
"""A training log; all but TensorBoard and CSV need the package of that name."""


class LogsSection(Settings):
    """Training logs, besides ``metrics.jsonl``, which every run writes.

    Attributes:
        loggers: which logs are written; ``wandb`` and ``mlflow`` need the package of that name.
        project: the project (Weights & Biases) or experiment (MLflow) that the run belongs to.

    >>> LogsSection(loggers=("csv",)).loggers
    ('csv',)
    """

    loggers: tuple[LoggerName, ...] = ("tensorboard",)
    project: str = "everypose"
