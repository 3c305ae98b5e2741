"""Recipes: everything that a training run depends on, as typed TOML.

A recipe is a bundled name (``boir-w32-coco``) or a path. It may build on one other recipe with ``extends``, and
``--set optim.lr=1e-4`` overrides single fields. A field that does not exist is an error that names the nearest one.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from itertools import pairwise
from pathlib import Path
from typing import Any, Self, get_args

from pydantic import BaseModel, ValidationError, field_validator, model_validator

from everypose.errors import UsageError, first_line
from everypose.methods.posebh.settings import PoseBHSettings
from everypose.methods.single_stage.settings import InferenceSettings
from everypose.methods.top_down.settings import TopDownInference
from everypose.models.settings import Inference, Network, TopDownSettings, check_step
from everypose.training.sections import (
    NONE,
    CropsSection,
    DataSection,
    EmaSection,
    LossesSection,
    OptimSection,
    PhasesSection,
    PrototypesSection,
    ScheduleSection,
    Section,
    StartSection,
    TrainerSection,
    ValidationSection,
)

BACKBONES = ("hrnet", "lite", "openpose-light", "resnet", "vit")
"""Kinds of backbone; no field is called so."""
FOR_IMAGES = (
    "losses",
    "data.size",
    "data.minimum_area",
    "data.mask_unlabelled",
    "data.exact_flip",
    "data.augmentation",
)
"""What only the families read that see whole images."""
FOR_CROPS = ("crops",)
"""What only the families read that see crops of one data set."""
FOR_ONE_SET = (
    *(f"data.{field}" for field in ("dataset", "train_split", "val_split", "val_dataset", "train", "val", "extra")),
    *("data.skeleton", "inference.convention", "inference.decoder", "inference.crop", "optim.scales"),
)
"""What says how to read the one data set of the other families."""
FOR_MIXTURES = ("data.sets", "start.transfer_like", "phases")
"""What only PoseBH and ViTPose++ read."""
FOR_PROTOTYPES = ("prototypes",)
"""What only PoseBH reads, and not ViTPose++."""
CROP_STEP, PATCH = 32, 16
"""What the sides of crops are multiples of, for convolutional backbones and for a ViT."""


class Recipe(Section):
    """A whole recipe. What the family does not read must not be given, and is not written either."""

    name: str = ""
    description: str = ""
    model: Network
    start: StartSection = StartSection()
    inference: Inference = InferenceSettings()
    data: DataSection = DataSection()
    crops: CropsSection = CropsSection()
    losses: LossesSection = LossesSection()
    prototypes: PrototypesSection = PrototypesSection()
    phases: PhasesSection = PhasesSection()
    optim: OptimSection = OptimSection()
    schedule: ScheduleSection
    ema: EmaSection = EmaSection()
    validation: ValidationSection = ValidationSection()
    trainer: TrainerSection = TrainerSection()

    @field_validator("inference", mode="before")
    @classmethod
    def _no_suppression(cls, values: Any) -> Any:
        none = isinstance(values, dict) and values.get("nms") == NONE
        return {**values, "nms": None} if none else values

    @model_validator(mode="after")
    def _all_that_is_given_is_read(self) -> Self:
        for name in self._unread:
            section, _, field = name.partition(".")
            if section in self.model_fields_set and (not field or field in getattr(self, section).model_fields_set):
                raise ValueError(f"{name} is nothing that the family {self.model.family} reads: leave it out")
        return self

    @model_validator(mode="after")
    def _inference_fits_the_network(self) -> Self:
        kind, inference, on_crops = self.model.backbone.kind, self.inference, isinstance(self.model, TopDownSettings)
        if on_crops != isinstance(inference, TopDownInference):
            wanted = "crop_size = [WIDTH, HEIGHT]" if on_crops else "size = PIXELS"
            raise ValueError(f"the family {self.model.family} needs {wanted} under [inference]")
        step = PATCH if kind == "vit" else CROP_STEP
        if isinstance(inference, TopDownInference) and any(side % step for side in inference.crop_size):
            raise ValueError(f"inference.crop_size must be multiples of {step}, not {list(inference.crop_size)}")
        check_step(self.model, inference)
        return self

    @model_validator(mode="after")
    def _offsets_are_told(self) -> Self:
        family, kind = self.model.family, self.model.backbone.kind
        if self.losses.offset and (family, kind) != ("boir", "openpose-light"):
            raise ValueError(f"losses.offset is for boir on openpose-light: give 0 with {family} on {kind}")
        return self

    @model_validator(mode="after")
    def _layers_decay_in_a_vit(self) -> Self:
        if self.optim.layer_decay and self.model.backbone.kind != "vit":
            raise ValueError(f"optim.layer_decay is for a vit: {self.model.backbone.kind} has optim.scales")
        return self

    @model_validator(mode="after")
    def _a_mixture_has_sets(self) -> Self:
        if not isinstance(self.model, PoseBHSettings):
            return self
        if self.model.datasets:
            raise ValueError("model.datasets is made of data.sets: leave it out")
        if not self.data.sets:
            raise ValueError("the family posebh learns several data sets: list them as [[data.sets]]")
        first = self.phases.settings().phase(0)
        if not (first.heads or first.backbone or (first.embedding and self.model.embedding)):
            raise ValueError("nothing learns from epoch 0 on: give phases.heads_from=0, and backbone_from, too")
        return self

    @property
    def _unread(self) -> tuple[str, ...]:
        """Sections and fields that the family does not read."""
        if isinstance(self.model, PoseBHSettings):
            return (*FOR_IMAGES, *FOR_CROPS, *FOR_ONE_SET, *(() if self.model.embedding else FOR_PROTOTYPES))
        other = FOR_IMAGES if isinstance(self.model, TopDownSettings) else FOR_CROPS
        return (*other, *FOR_MIXTURES, *FOR_PROTOTYPES)

    def to_toml(self) -> str:
        """The recipe as TOML, every field written out."""
        table = self.model_dump(mode="json")
        for name in self._unread:
            section, _, field = name.partition(".")
            del (table[section] if field else table)[field or section]
        return _to_toml(table)


def recipe_names() -> list[str]:
    """Names of the bundled recipes."""
    return sorted(_bundled_recipes())


def _bundled_recipes() -> dict[str, Traversable]:
    """The bundled recipe files by name, from the folders of all families."""
    families = (resources.files("everypose.training") / "recipes").iterdir()
    files = (file for family in families if family.is_dir() for file in family.iterdir())
    return {file.name.removesuffix(".toml"): file for file in files if file.name.endswith(".toml")}


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
            bundled = _bundled_recipes()
            if text not in bundled:
                near = difflib.get_close_matches(text, bundled, 3, 0.4) or sorted(bundled)
                raise UsageError(f"no recipe is called {text!r}; near it: {', '.join(near)} (a file ends in .toml)")
            content, label = bundled[text].read_bytes(), text
        return tomllib.loads(content.decode()), f"recipe {label}"
    except OSError as error:
        raise UsageError(f"cannot read the recipe {text}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # of tomllib and of decoding
        raise UsageError(f"recipe {text} is not valid TOML: {first_line(error)}") from error


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
    except (ValueError, RecursionError) as error:
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
    where = _place(problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = _field_names(Recipe)
        name = where.rsplit(".", 1)[-1]
        same = [field for field in known if field.rsplit(".", 1)[-1] == name]
        near = difflib.get_close_matches(where, same, 1, 0.0) or difflib.get_close_matches(where, known, 1, 0.5)
        return f"there is no field {where}" + (f"; did you mean {near[0]}?" if near else "")
    if problem["type"] == "missing":
        return f"{where} is missing"
    message = problem["msg"].removeprefix("Value error, ")
    if not where:
        return message
    return f"{where}: {message[:1].lower()}{message[1:]} (got {json.dumps(problem['input'], default=str)[:60]})"


def _place(location: Sequence[str | int]) -> str:
    """The dotted name of a field, without what pydantic puts after fields that decide a type."""
    parts = [
        str(part)
        for before, part in pairwise(("", *location))
        if before not in ("model", "inference") and not (before == "backbone" and part in BACKBONES)
    ]
    return ".".join(parts)


def _field_names(section: type[BaseModel], prefix: str = "") -> list[str]:
    """Dotted names of all fields."""
    names = []
    for name, field in section.model_fields.items():
        names.append(prefix + name)
        for inner in (field.annotation, *get_args(field.annotation)):
            kind = getattr(inner, "__origin__", inner)  # of an Annotated one
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                names += _field_names(kind, f"{prefix}{name}.")
    return names


def _to_toml(table: Mapping[str, Any], prefix: str = "") -> str:
    """TOML of a table: its plain values first, then its tables."""
    lines = [f"{_toml_key(key)} = {_toml_value(value)}" for key, value in table.items() if not isinstance(value, dict)]
    text = "\n".join(lines) + "\n"
    for key, value in table.items():
        if isinstance(value, dict):
            text += f"\n[{prefix}{key}]\n" + _to_toml(value, f"{prefix}{key}.")
    return text


def _toml_key(key: str) -> str:
    """A key as it is, or in quotes, such as the beginning of a parameter's name, which holds a dot."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)


def _toml_value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml_key(key)} = {_toml_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml_value(inner) for inner in value) + "]"
    return json.dumps(NONE if value is None else value)  # numbers, booleans and text are written alike in TOML and JSON
