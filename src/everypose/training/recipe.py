"""Recipes: everything that a training run depends on, as typed TOML.

A recipe is a bundled name (``boir-w32-coco``) or a path. It may build on one other recipe with ``extends``, and
``--set optim.lr=1e-4`` overrides single fields. A field that does not exist is an error that names the nearest one.
"""

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from everypose.errors import UsageError
from everypose.models import InferenceSettings, Network
from everypose.single_stage.augmentation import Augmentation

PositiveInt = Annotated[int, Field(ge=1)]
NotNegative = Annotated[float, Field(ge=0)]
UNION_TAGS = ("boir", "cid", "hrnet", "lite", "openpose-light")
"""What pydantic puts into an error's place where a field decides the type; no field is called so."""


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
    heads: Literal["paper", "framework"] = "paper"  # hidden weights of the heads; the framework's learn far sooner


class AugmentationSection(Section):
    """Random changes of a training sample, drawn anew for every sample; fields as in :class:`Augmentation`."""

    scale: tuple[float, float] = (0.75, 1.5)
    rotation: NotNegative = 30.0
    translation: Annotated[int, Field(ge=0)] = 40
    flip: Annotated[float, Field(ge=0, le=1)] = 0.5
    brightness: Annotated[float, Field(ge=0, le=1)] = 0.0
    contrast: Annotated[float, Field(ge=0, le=1)] = 0.0
    saturation: Annotated[float, Field(ge=0, le=1)] = 0.0

    def settings(self) -> Augmentation:
        """The same settings as the sample maker takes them."""
        return Augmentation(**dict(self))


class DataSection(Section):
    """What is trained on and what is validated on.

    Without explicit ``train`` / ``val`` sources, the layout of ``dataset`` is looked up under ``root``. ``extra`` sets
    (composed crowds, say) are mixed into the training set.
    """

    root: str = "."
    dataset: str = "coco"
    train_split: str = "train"
    val_split: str = "val"  # empty: no validation
    val_dataset: str = ""  # empty: the same as `dataset`
    train: tuple[Source, ...] = ()
    val: tuple[Source, ...] = ()
    extra: tuple[Source, ...] = ()
    skeleton: str = ""  # a known skeleton's name or a TOML file; empty: what the annotations say
    size: PositiveInt = 512
    minimum_area: NotNegative = 1024.0  # a person whose box is smaller, in input pixels, is no instance
    mask_unlabelled: bool = True  # people without keypoints are masked and images with no others left out (COCO)
    augmentation: AugmentationSection = AugmentationSection()
    workers: Annotated[int, Field(ge=0)] = 4

    @model_validator(mode="after")
    def _size_fits_the_network(self) -> Self:
        if self.size % 64:
            raise ValueError(f"size must be a multiple of 64, not {self.size}")
        return self


class LossesSection(Section):
    """Weights of the losses (spec: "Losses"); those of the other family are not used."""

    multi_heatmap: NotNegative = 1.0
    single_heatmap: NotNegative = 4.0
    bbox: NotNegative = 0.25
    bbox_mask: NotNegative = 0.25
    background: Literal["both", "image", "instance"] = "both"
    contrastive: NotNegative = 1.0


class OptimSection(Section):
    """The optimiser; ``clip`` is the largest norm of the gradient, 0 for no clipping."""

    name: Literal["adamw", "adam"] = "adamw"
    lr: Annotated[float, Field(gt=0)] = 1e-3
    frozen: tuple[str, ...] = ()  # beginnings of the names of parameters that stay as they start
    backbone_scale: NotNegative = 1.0  # times `lr` for the backbone: below 1 where it starts from good features
    weight_decay: NotNegative = 0.025
    clip: NotNegative = 10.0


class ScheduleSection(Section):
    """Length of the training and course of the learning rate; exactly one of ``epochs`` and ``steps`` is above 0."""

    epochs: NotNegative = 0.0
    steps: Annotated[int, Field(ge=0)] = 0
    kind: Literal["cosine", "multistep"] = "cosine"
    warmup_epochs: NotNegative = 10.0
    warmup_start: NotNegative = 1e-12
    final_lr: NotNegative = 1e-6  # where the cosine ends
    milestones: tuple[float, ...] = ()  # epochs at which multistep multiplies the rate by `gamma`
    gamma: Annotated[float, Field(gt=0)] = 0.1

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.epochs > 0) == (self.steps > 0):
            raise ValueError("give the length as epochs or as steps, one of the two (the other 0)")
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
    batch: PositiveInt = 20  # images a device and step
    accumulate: PositiveInt = 1
    sync_batchnorm: bool = False
    freeze_batchnorm: bool = False
    seed: Annotated[int, Field(ge=0)] = 0
    log_steps: PositiveInt = 10
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 10.0
    checkpoint_steps: Annotated[int, Field(ge=0)] = 0  # 0: by the minutes alone


class Recipe(Section):
    """A whole recipe."""

    name: str = ""
    description: str = ""
    model: Network
    start: StartSection = StartSection()
    inference: InferenceSettings = InferenceSettings()
    data: DataSection = DataSection()
    losses: LossesSection = LossesSection()
    optim: OptimSection = OptimSection()
    schedule: ScheduleSection
    ema: EmaSection = EmaSection()
    validation: ValidationSection = ValidationSection()
    trainer: TrainerSection = TrainerSection()

    def to_toml(self) -> str:
        """The recipe as TOML, every field written out."""
        return _to_toml(self.model_dump(mode="json"))


def recipe_names() -> list[str]:
    """Names of the bundled recipes."""
    folder = resources.files("everypose.training") / "recipes"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_recipe(source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        source: a bundled name or the path of a TOML file.
        overrides: ``section.field=value`` with the value in TOML syntax; a bare word is taken as text.

    Raises:
        UsageError: no such recipe, no TOML, an unknown field, a value of the wrong type or out of range.
    """
    table, label = _read_table(source)
    parent = table.pop("extends", None)
    if parent is not None:
        if not isinstance(parent, str):
            raise UsageError(f"{label}: extends must be the name or path of one recipe")
        beside = Path(source).parent / parent if _is_path(str(source)) and _is_path(parent) else parent
        base, base_label = _read_table(beside)
        if "extends" in base:
            raise UsageError(f"{label} extends {base_label}, which extends another recipe: one level is the most")
        table = _merged(base, table)
    for override in overrides:
        _override(table, override)
    try:
        return Recipe.model_validate(table)
    except ValidationError as error:
        raise UsageError(f"{label}: {_explain(error)}") from None


def _is_path(source: str) -> bool:
    return source.endswith(".toml") or "/" in source


def _read_table(source: str | Path) -> tuple[dict[str, Any], str]:
    """The TOML table of a recipe, and what to call it in messages."""
    text = str(source)
    try:
        if _is_path(text):
            content, label = Path(source).read_bytes(), text
        else:
            if text not in recipe_names():
                near = difflib.get_close_matches(text, recipe_names(), 3, 0.4) or recipe_names()
                raise UsageError(f"no recipe is called {text!r}; near it: {', '.join(near)} (a file ends in .toml)")
            content, label = resources.files("everypose.training").joinpath(f"recipes/{text}.toml").read_bytes(), text
        return tomllib.loads(content.decode()), f"recipe {label}"
    except OSError as error:
        raise UsageError(f"cannot read the recipe {text}: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"recipe {text} is not valid TOML: {error}") from error


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` laid over ``base``, table by table; arrays are replaced, not joined."""
    result = dict(base)
    for key, value in over.items():
        both_tables = isinstance(value, dict) and isinstance(base.get(key), dict)
        result[key] = _merged(base[key], value) if both_tables else value
    return result


def _override(table: dict[str, Any], override: str) -> None:
    """Apply one ``section.field=value`` to the table, in place."""
    dotted, equals, text = override.partition("=")
    path = [part.strip() for part in dotted.split(".")]
    if not equals or not all(path):
        raise UsageError(f"--set {override}: write it as section.field=value, such as optim.lr=1e-4")
    text = text.strip()
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        if text[:1] in ('"', "'", "[", "{") or "\n" in text:
            raise UsageError(f"--set {override}: the value is not valid TOML: {error}") from error
        value = text
    for part in path[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise UsageError(f"--set {override}: {part} is not a section")
    table[path[-1]] = value


def _explain(error: ValidationError) -> str:
    """The first problem of a validation in one line, with the nearest right name for an unknown field."""
    problem = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"] if part not in UNION_TAGS)
    if problem["type"] == "extra_forbidden":
        known = _field_names(Recipe)
        name = where.rsplit(".", 1)[-1]
        same = [field for field in known if field.rsplit(".", 1)[-1] == name]
        near = same or difflib.get_close_matches(where, known, 1, 0.5)
        return f"there is no field {where}" + (f"; did you mean {near[0]}?" if near else "")
    if problem["type"] == "missing":
        return f"{where} is missing"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {message[:1].lower()}{message[1:]} (got {json.dumps(problem['input'], default=str)[:60]})"


def _field_names(section: type[BaseModel], prefix: str = "") -> list[str]:
    """Dotted names of all fields."""
    names = []
    for name, field in section.model_fields.items():
        names.append(prefix + name)
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                names += _field_names(inner, f"{prefix}{name}.")
    return names


def _to_toml(table: Mapping[str, Any], prefix: str = "") -> str:
    """TOML of a table: its plain values first, then its tables."""
    lines = [f"{key} = {_toml_value(value)}" for key, value in table.items() if not isinstance(value, dict)]
    text = "\n".join(lines) + "\n"
    for key, value in table.items():
        if isinstance(value, dict):
            text += f"\n[{prefix}{key}]\n" + _to_toml(value, f"{prefix}{key}.")
    return text


def _toml_value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml_value(inner) for inner in value) + "]"
    return json.dumps(value)  # numbers, booleans and text are written alike in TOML and JSON
