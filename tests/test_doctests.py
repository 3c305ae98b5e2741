"""The examples in docstrings run, and public names have one."""

import ast
import doctest
import importlib
import re
import shlex
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.main import get_command

import everypose
from everypose.cli.main import app
from everypose.core.files import write_json
from everypose.skeleton.skeleton import Skeleton
from everypose.video.writer import VideoWriter

PACKAGE = Path(everypose.__file__).parent
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)

COMMAND = re.compile(r"^ *Example: (everypose [^&\n]+)", re.MULTILINE)
COMMANDS = sorted(
    line for path in (PACKAGE / "cli").rglob("*.py") for line in COMMAND.findall(path.read_text(encoding="utf-8"))
)
"""The examples in the commands' help."""
COMMAND_LINE = get_command(app)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """The ``clip.mp4`` of the examples: three gray frames in 0.3 seconds."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with VideoWriter(path) as video:
        for number in range(3):
            video.write(np.full((48, 64, 3), 128, np.uint8), number / 10)
    return path


@pytest.fixture
def people(tmp_path):
    """The ``people.json`` and ``a.png`` of the examples: a person with COCO's keypoints in a black image."""
    category = {"id": 1, "name": "person", "keypoints": list(Skeleton.named("coco").keypoints)}
    person = {"id": 7, "image_id": 1, "category_id": 1, "keypoints": [30, 30, 2] * 17, "bbox": [10, 5, 40, 55]}
    image = {"id": 1, "file_name": "a.png", "width": 64, "height": 64}
    write_json(tmp_path / "people.json", {"images": [image], "annotations": [person], "categories": [category]})
    assert cv2.imwrite(str(tmp_path / "a.png"), np.zeros((64, 64, 3), np.uint8))


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("name", MODULES)
def test_examples_of(name, monkeypatch, tmp_path, clip):
    shutil.copy(clip, tmp_path)
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name.removesuffix(".__init__"))
    outcome = doctest.testmod(module, optionflags=FLAGS)
    assert not outcome.failed


EXCEPTIONS = {
    "everypose.bulk.ray_run.run_shards": "starts a Ray cluster",
    "everypose.cli.main.main": "changes the standard streams of the process",
    "everypose.core.process_setup.hide_native_messages": "redirects a descriptor of the whole process",
    "everypose.core.process_setup.open_missing_streams": "changes the standard streams of the process",
    "everypose.core.process_setup.write_any_text": "changes the standard streams of the process",
    "everypose.integrations.cvat.PoseFunction": "needs a package that cannot be installed next to others",
    "everypose.integrations.fiftyone.add_photos": "needs a package that cannot be installed next to others",
    "everypose.integrations.fiftyone.keypoint_skeleton": "needs a package that cannot be installed next to others",
    "everypose.people.conversion.to_fiftyone": "needs a package that cannot be installed next to others",
    "everypose.people.conversion.to_supervision": "its versions print differently",
    "everypose.serving.server.serve": "serves until it is stopped",
    "everypose.serving.video_worker.main": "replaces the standard streams of the process",
    "everypose.serving.worker.main": "replaces the standard streams of the process",
    "everypose.serving.worker.take_standard_streams": "replaces the standard streams of the process",
    "everypose.training.lightning_module.compile_network": "imports torch's compiler, which takes seconds",
    "everypose.training.process_setup.keep_freed_memory": "changes the memory of the whole process",
    "everypose.training.process_setup.prepare_training": "changes memory, warnings and logging of the whole process",
}
"""Public names that cannot have an example, with the reason."""


def test_public_names_have_an_example() -> None:
    assert [name for name in public_names_without_example() if name not in EXCEPTIONS] == []


def test_exceptions_are_names_without_example() -> None:
    assert set(EXCEPTIONS) <= set(public_names_without_example())


@pytest.mark.parametrize("line", COMMANDS)
def test_examples_of_commands_are_accepted(line: str) -> None:
    """Names, options and values of a command line are those of the command; it is not run."""
    name, *arguments = shlex.split(line)
    command, context = COMMAND_LINE, None
    while True:
        context = command.make_context(name, arguments, parent=context)
        if not hasattr(command, "resolve_command"):
            return
        name, command, arguments = command.resolve_command(context, [*context._protected_args, *context.args])


@cache
def public_names_without_example() -> list[str]:
    """Public classes and functions without an example in their docstring or a method's; that of a command is a line."""
    return list(find_names_without_example())


def find_names_without_example() -> Iterator[str]:
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            parts = [node, *node.body] if isinstance(node, ast.ClassDef) else [node]
            documented = [
                part for part in parts if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            ]
            texts = [ast.get_docstring(part) or "" for part in documented]
            if not any(">>> " in text or COMMAND.search(text) for text in texts):
                yield f"{module}.{node.name}"
