"""Wrong fields of files and requests are described in plain words, never in those of pydantic."""

import importlib
import inspect
import json
import math
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from benchmarks.fuzzing.running import WORDS_OF_LIBRARIES
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

import everypose
from everypose.core.validation import explain, explain_problem
from everypose.errors import EveryposeError, as_user_error, plain_reason
from everypose.evaluation.report.record import Record
from everypose.methods import METHODS
from everypose.models.config import ModelConfig, read_config
from everypose.skeleton.skeleton import Skeleton
from everypose.training.recipe import OneSetRecipe, Recipe, recipe_class

PACKAGE = Path(everypose.__file__).parent
WRONG: tuple[Any, ...] = (
    3, -1, 0.5, math.nan, 10**30, 10**5000, "", "no such word", "x" * 300, "ä\x1b\u2028", None, [], [[]],
    [1, "2", None], ["a"] * 99, {}, {"unknown": 1}, {"family": "none"}, {"kind": 3},
    {"family": "boir", "backbone": {"kind": "none"}},
)  # fmt: skip
COCO = Skeleton.named("coco").to_dict()
CONFIG = {"name": "mine", "network": {"family": "boir"}, "skeleton": COCO}


def public_models() -> Iterator[type[BaseModel]]:
    """Every model of pydantic in the package, and the recipe of every method."""
    for module in pkgutil.walk_packages([str(PACKAGE)], "everypose."):
        path = PACKAGE.joinpath(*module.name.split(".")[1:])
        source = path / "__init__.py" if module.ispkg else path.with_suffix(".py")
        if "Settings" in source.read_text() or "BaseModel" in source.read_text():
            for _, found in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
                if issubclass(found, BaseModel) and found.__module__ == module.name:
                    yield found
    yield from map(recipe_class, METHODS)


BASES = {Recipe, OneSetRecipe}
"""Their fields are narrowed by the recipes of the methods, without which they validate nothing."""
MODELS = [model for model in dict.fromkeys(public_models()) if model not in BASES]


def assert_plain(message: str) -> None:
    assert message
    assert not [words for words in WORDS_OF_LIBRARIES if words.lower() in message.lower()], message
    assert "\n" not in message
    assert message.isprintable()
    assert len(message) < 400, message


def problems(model: type[BaseModel], values: object) -> list[ErrorDetails]:
    try:
        model.model_validate(values)
    except ValidationError as error:
        assert_plain(explain(error, model))
        return error.errors(include_url=False)
    return []


def test_every_model_is_found() -> None:
    assert len(MODELS) > 90
    assert {ModelConfig, Record} < set(MODELS)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_no_message_of_a_model_has_words_of_pydantic(model: type[BaseModel]) -> None:
    tried = [*WRONG, *({name: value} for name in model.model_fields for value in WRONG)]
    found = [problem for values in tried for problem in problems(model, values)]
    assert found
    for problem in found:
        assert_plain(explain_problem(problem, model))


@pytest.mark.parametrize("kind", get_args(ErrorType))
def test_every_kind_of_problem_is_described_in_plain_words(kind: ErrorType) -> None:
    names = ("gt", "ge", "lt", "le", "multiple_of", "expected", "pattern", "error", "tag", "expected_tags")
    context = dict.fromkeys(names, 1)
    problem: ErrorDetails = {"type": kind, "loc": ("size",), "msg": "Input should be 1", "input": [3], "ctx": context}
    assert_plain(explain_problem(problem))
    assert "size" in explain_problem(problem)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"nam": 1}, "there is no field nam; did you mean name?"),
        ({"name": None}, "name must be text, not null"),
        ({"network": 3}, "network must be a table of named fields, not 3"),
        ({"network": {}}, "network.family is missing"),
        ({"network": {"family": "bior"}}, 'network.family cannot be "bior"; did you mean boir?'),
        ({"network": {"family": "boir", "backbone": {"kind": "lite", "widht": 1}}},
         "there is no field network.backbone.widht; did you mean network.backbone.width?"),
        ({"inference": 3}, "inference must be a table of named fields, not 3"),
        ({"inference": {"size": "big"}}, 'inference.size must be a whole number, not "big"'),
        ({"inference": {"size": 10**6}}, "inference.size must be at most 4096, not 1000000"),
        ({"inference": {"size": 100}}, "inference: size must be a multiple of 64, not 100"),
        ({"inference": {"pool": 4}}, "inference.pool must be odd, so that a window has a middle, not 4"),
        ({"inference": {"nms": 0}}, "inference.nms must be above 0, not 0"),
        ({"inference": {"decoder": "x"}}, "inference.decoder must be 'quarter' or 'parabola', not \"x\""),
        ({"inference": {"crop_size": [64, 64]}}, "the family boir needs size = PIXELS under [inference]"),
        ({"skeleton": 3}, "skeleton must be a table of named fields, not 3"),
        ({"skeleton": {}}, "skeleton: name is missing"),
        ({"skeleton": COCO | {"keypoints": 3}}, "skeleton: keypoints must be a list"),
        ({"skeleton": COCO | {"sigma": 3}}, "skeleton: there is no field sigma; did you mean sigmas?"),
        ({"skeleton": COCO | {"links": [[0]]}},
         "skeleton: skeleton 'coco': its links are not pairs of keypoint numbers"),
        ({"provenance": []}, "provenance must be a table of named fields, not []"),
    ],
)  # fmt: skip
def test_a_model_configuration(tmp_path: Path, changes: dict[str, object], expected: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG | changes))
    with pytest.raises(EveryposeError) as caught:
        read_config(path)
    assert str(caught.value) == f"{path} is not a model configuration of everypose: {expected}"


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ([64], "inference.crop_size has too few entries: [64]"),
        ([64, 64, 64], "inference.crop_size must have at most 2 entries, not [64, 64, 64]"),
        ("64", 'inference.crop_size must be a list, not "64"'),
        ([64, "x"], 'inference.crop_size.1 must be a whole number, not "x"'),
        ({"width": 64}, "inference.crop_size.height is missing"),
    ],
)
def test_a_size(size: object, expected: str) -> None:
    values = {"name": "mine", "network": {"family": "mipnet"}, "skeleton": COCO, "inference": {"crop_size": size}}
    with pytest.raises(ValidationError) as caught:
        ModelConfig.model_validate(values)
    assert explain(caught.value, ModelConfig) == expected


def test_an_evaluation_record(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text('{"everypose": "1", "model": "m", "numbers": {"": {"AP": "high"}}, "protocl": {}}')
    with pytest.raises(EveryposeError) as caught:
        Record.read(path)
    expected = "there is no field protocl; did you mean protocol?"
    assert str(caught.value) == f"{path} is not an evaluation record: {expected}"


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (lambda: {}["name"], "'name' is missing"),
        (lambda: [][1], "a list is too short, or a position is beyond its end"),
        (lambda: len(3), "a value is of the wrong type"),  # type: ignore[arg-type]
        (lambda: (3).items(), "a value is of the wrong type"),  # type: ignore[attr-defined]
        (lambda: float("x"), "'x' is not a number"),
        (lambda: int("x"), "'x' is not a whole number"),
        (lambda: int(math.inf), "a number is not finite"),
        (lambda: dict([[1]]), "dictionary update sequence element #0 has length 1; 2 is required"),
        (lambda: [0 for _, _ in [[1]]], "a list has the wrong length"),
        (lambda: __import__("numpy").reshape([1, 2], (3,)), "a list has the wrong length"),
    ],
)
def test_reasons_of_python_in_plain_words(read: Any, expected: str) -> None:
    with pytest.raises((ArithmeticError, AttributeError, LookupError, TypeError, ValueError)) as caught:
        read()
    assert plain_reason(caught.value) == expected
    with pytest.raises(EveryposeError) as refused, as_user_error("cannot read a.json"):
        read()
    assert str(refused.value) == f"cannot read a.json: {expected}"
