"""Recipes: everything that a training run depends on, as typed settings.

A recipe is a table of sections. Which sections and fields there are depends on the family of its model: each method has
a recipe class of its own, so that a field that the family does not have cannot be given. Files are read by
:mod:`everypose.training.recipe_files`.
"""

import difflib
import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Self, cast

from pydantic import ValidationError, create_model, field_validator, model_validator

from everypose.backbones.settings import BackboneSettings
from everypose.core.geometry import Size
from everypose.core.validation import explain, field_names, first_problem, nearest_field, place_of
from everypose.errors import UsageError
from everypose.methods import METHODS
from everypose.methods.method import InferenceSettings, Method, MethodTraining, NetworkSettings, Task
from everypose.methods.posebh.settings import PoseBHSettings, PoseBHTraining
from everypose.methods.posefix.settings import PoseFixSettings, PoseFixTraining, RefinementInference
from everypose.methods.single_stage.settings import SingleStageInference, SingleStageNetworkSettings
from everypose.methods.top_down.settings import CropInference, TopDownInference, TopDownNetworkSettings, TopDownTraining
from everypose.models.settings import require_fitting_inference
from everypose.training.sections import (
    DataSection,
    EmaSection,
    ImageDataSection,
    LogsSection,
    MixtureDataSection,
    MixtureStartSection,
    OneSetSection,
    OptimSection,
    ScaledOptimSection,
    ScheduleSection,
    StartSection,
    TrainerSection,
    ValidationSection,
)
from everypose.training.toml_writer import to_toml


class Recipe(MethodTraining):
    """What the recipes of all families have.

    Attributes:
        name: the recipe's name, which the model gets.
        description: one line for ``everypose recipes list``.
        model: the network.
        start: the weights that training starts from.
        inference: how the trained model is run.
        data: the data.
        optim: the optimizer.
        schedule: the length and the learning rate.
        ema: the moving average of the weights.
        validation: validation while training.
        trainer: precision, batches, checkpoints.
        logs: training logs.

    >>> recipe = parse_recipe({"model": {"family": "cid"}, "schedule": {"epochs": 2}})
    >>> isinstance(recipe, Recipe), recipe.trainer.seed, "epochs = 2" in recipe.to_toml()
    (True, 0, True)
    """

    name: str = ""
    description: str = ""
    model: NetworkSettings
    start: StartSection = StartSection()
    inference: SingleStageInference | CropInference | RefinementInference
    data: DataSection = DataSection()
    optim: OptimSection = ScaledOptimSection()
    schedule: ScheduleSection
    ema: EmaSection = EmaSection()
    validation: ValidationSection = ValidationSection()
    trainer: TrainerSection = TrainerSection()
    logs: LogsSection = LogsSection()

    @field_validator("inference", mode="before")
    @classmethod
    def _inference_is_of_the_kind(cls, values: object) -> object:
        """Name what the family's kind needs, instead of the first field of the other kind."""
        family = cls.model_fields["model"].annotation.model_fields["family"].default  # type: ignore[union-attr]
        kind = cast(type[InferenceSettings], cls.model_fields["inference"].annotation)
        on_crops = "crop_size" in kind.model_fields
        if isinstance(values, dict) and on_crops != ("crop_size" in values) and (on_crops or "crop_size" in values):
            wanted = "crop_size = [WIDTH, HEIGHT]" if on_crops else "size = PIXELS"
            raise ValueError(f"the family {family} needs {wanted} under [inference]")
        return values

    @model_validator(mode="after")
    def _sections_fit_the_network(self) -> Self:
        kind = self.model.backbone.kind
        require_fitting_inference(self.model, self.inference)
        if self.optim.layer_decay and kind != "vit":
            raise ValueError(f"optim.layer_decay is for a vit: {kind} has optim.scales")
        for section in self.unused_sections():
            if section in self.model_fields_set:
                raise ValueError(
                    f"{section} has no effect on this network of the family {self.model.family}: leave it out"
                )
        self.require_fitting_network()
        if reason := self.unfit(self.model):
            raise ValueError(reason)
        return self

    def require_fitting_network(self) -> None:
        """Check what only one kind of recipe must.

        Raises:
            ValueError: if sections and network do not fit.
        """

    def unused_sections(self) -> tuple[str, ...]:
        """Return the names of sections that have no effect on the network; a recipe must not give them."""
        return ()

    def to_toml(self) -> str:
        """Return the recipe as TOML, with every field."""
        return to_toml(self.model_dump(mode="json", exclude=set(self.unused_sections())))


class OneSetRecipe(Recipe):
    """What the recipes of families that are trained on one skeleton have.

    >>> recipe = parse_recipe({"model": {"family": "cid"}, "schedule": {"epochs": 2}})
    >>> isinstance(recipe, OneSetRecipe), recipe.data.dataset
    (True, 'coco')
    """

    data: OneSetSection = OneSetSection()
    optim: ScaledOptimSection = ScaledOptimSection()


class SingleStageRecipe(OneSetRecipe):
    """What the recipes of single-stage families have.

    >>> recipe = parse_recipe({"model": {"family": "boir"}, "schedule": {"epochs": 2}})
    >>> isinstance(recipe, SingleStageRecipe), recipe.losses.bbox_mask
    (True, 0.25)
    """

    model: SingleStageNetworkSettings
    inference: SingleStageInference = SingleStageInference()
    data: ImageDataSection = ImageDataSection()


class TopDownRecipe(TopDownTraining, OneSetRecipe):
    """What the recipes of families that are trained on the crops of one data set have.

    >>> table = {"model": {"family": "mipnet"}, "schedule": {"epochs": 2}, "inference": {"crop_size": [192, 256]}}
    >>> isinstance(parse_recipe(table), TopDownRecipe), parse_recipe(table).crops.sigma
    (True, 2.0)
    """

    model: TopDownNetworkSettings
    inference: TopDownInference

    def require_fitting_network(self) -> None:
        """Check that the crops fit the backbone."""
        _require_multiples(self.inference.crop_size, self.model.backbone)


class RefinementRecipe(PoseFixTraining, OneSetRecipe):
    """The recipe of PoseFix.

    >>> table = {"model": {"family": "posefix"}, "schedule": {"epochs": 2}, "inference": {"crop_size": [192, 256]}}
    >>> isinstance(parse_recipe(table), RefinementRecipe)
    True
    """

    model: PoseFixSettings
    inference: RefinementInference

    def require_fitting_network(self) -> None:
        """Check that the crops fit the backbone."""
        _require_multiples(self.inference.crop_size, self.model.backbone)


class MixtureRecipe(PoseBHTraining, Recipe):
    """The recipe of PoseBH and ViTPose++; each data set says how its crops are cut.

    >>> sets = [{"name": "mice", "train": [{"annotations": "mice.json", "images": "images"}]}]
    >>> table = {"model": {"family": "posebh"}, "inference": {"crop_size": [192, 256]}, "data": {"sets": sets}}
    >>> recipe = parse_recipe(table | {"schedule": {"epochs": 100}})
    >>> isinstance(recipe, MixtureRecipe), recipe.phases.heads_from
    (True, 50)
    """

    model: PoseBHSettings
    start: MixtureStartSection = MixtureStartSection()
    inference: CropInference
    data: MixtureDataSection
    optim: OptimSection = OptimSection()

    def require_fitting_network(self) -> None:
        """Check the crops, that the network's data sets come from the recipe's, and that training starts at epoch 0."""
        _require_multiples(self.inference.crop_size, self.model.backbone)
        if self.model.datasets:
            raise ValueError("model.datasets is made of data.sets: leave it out")
        first = self.phases.phase(0)
        if not (first.heads or first.backbone or (first.embedding and self.model.embedding)):
            raise ValueError("nothing learns from epoch 0 on: give phases.heads_from=0, and backbone_from, too")

    def unused_sections(self) -> tuple[str, ...]:
        """Return ``prototypes`` for a network without embeddings, ViTPose++."""
        return () if self.model.embedding else ("prototypes",)


def _require_multiples(crop_size: Size, backbone: BackboneSettings) -> None:
    """Raise ValueError unless the sides of a crop are multiples of what the backbone needs."""
    if any(side % backbone.step for side in crop_size):
        raise ValueError(f"inference.crop_size must be multiples of {backbone.step}, not {list(crop_size)}")


_BASES: Mapping[Task, type[Recipe]] = {
    "single-stage": SingleStageRecipe,
    "top-down": TopDownRecipe,
    "mixture": MixtureRecipe,
    "refinement": RefinementRecipe,
}


@cache
def recipe_class(method: Method) -> type[Recipe]:
    """Return the class of a method's recipes: the sections of its kind, and its own.

    >>> from everypose.methods import CID
    >>> recipe_class(CID).model_fields["losses"].annotation.__name__
    'CIDLosses'
    """
    base = _BASES[method.settings.task]
    bases = (base,) if issubclass(base, method.training) else (method.training, base)
    created = create_model(f"{method.family} recipe", __base__=bases, model=(method.settings, ...))
    return cast(type[Recipe], created)


def parse_recipe(table: Mapping[str, Any], label: str = "the recipe") -> Recipe:
    """Validate a recipe's table by the class of its family.

    Args:
        table: the sections.
        label: the recipe's name, for messages.

    Raises:
        UsageError: if the family or a field is unknown, or a value is of the wrong type or out of range; one line, with
            the nearest right name.

    >>> parse_recipe({"model": {"family": "cid"}, "schedule": {"epochs": 2}}).data.size
    512
    """
    families = {method.family: method for method in METHODS}
    model = table.get("model", {})
    family = model.get("family") if isinstance(model, Mapping) else None
    if family not in families:
        near = difflib.get_close_matches(str(family), families, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(families)}"
        raise UsageError(
            f"{label}: model.family is {json.dumps(family, default=str)}, which is no known family; {hint}"
        )
    recipe = recipe_class(families[family])
    try:
        return recipe.model_validate(table)
    except ValidationError as error:
        raise UsageError(f"{label}: {_explain(error, recipe)}") from None


def _explain(error: ValidationError, recipe: type[Recipe]) -> str:
    """Describe the first problem of a validation in one line; of a field of other families, name these."""
    problem = first_problem(error)
    where = place_of(problem, recipe)
    own = recipe.model_fields["model"].annotation
    others = [m.family for m in METHODS if m.settings is not own and where in field_names(recipe_class(m))]
    if problem["type"] != "extra_forbidden" or not others:
        return explain(error, recipe)
    family = next(method.family for method in METHODS if method.settings is own)
    return (
        f"there is no field {where} in a recipe of the family {family}, "
        f"which only {', '.join(others)} {'has' if len(others) == 1 else 'have'}{nearest_field(where, recipe)}"
    )
