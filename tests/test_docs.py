"""What the documents show works: options are there, and the Python of the pages runs."""

import re
from pathlib import Path

import cv2
import pytest
from typer.main import get_command

from everypose.cli.main import app
from everypose.models import locate as models
from everypose.training.recipe import load_recipe
from inference.stand_in import crowd, write_model

ROOT = Path(__file__).parent.parent
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"])


def blocks(page, language=""):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def commands(page):
    """Every ``everypose ...`` of the page's blocks, with continued lines joined, as words."""
    lines = "\n".join(blocks(page)).replace("\\\n", " ").splitlines()
    found = [re.search(r"(?:^|\s)everypose (\w.*)", line) for line in lines]
    return [match[1].split(" | ")[0].split() for match in found if match]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_that_a_page_shows_is_there(page):
    for words in commands(page):
        command = get_command(app)
        while getattr(command, "commands", None):
            assert words[0] in command.commands, words
            command = command.commands[words.pop(0)]
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        options = {word for word in words if re.match(r"--?[a-z]", word)}
        assert options <= known | {"--help"}, words


def test_the_python_of_predict_runs(tmp_path, monkeypatch):
    pytest.importorskip("supervision")
    monkeypatch.setattr(models, "bundled", lambda _: write_model(tmp_path / "stand_in.onnx"))
    monkeypatch.chdir(tmp_path)
    assert cv2.imwrite("crowd.jpg", crowd([(0, 0, 100)])[..., ::-1])
    (code,) = blocks(ROOT / "docs" / "guides" / "predict.md", "python")
    exec(code, {})
    assert (tmp_path / "drawn.jpg").exists()


def test_the_recipe_and_the_python_of_train_are_valid(tmp_path, monkeypatch):
    (recipe,) = blocks(ROOT / "docs" / "guides" / "train.md", "toml")
    (tmp_path / "mine.toml").write_text(recipe)
    assert load_recipe(tmp_path / "mine.toml").start.weights == "models/boir-w32-coco"
    seen = []
    monkeypatch.setattr("everypose.training.run.train", lambda recipe, folder: seen.append((recipe, folder)))
    (code,) = blocks(ROOT / "docs" / "guides" / "train.md", "python")
    exec(code.partition("print(")[0], {})
    assert seen[0][0].data.root == "data/mine"
    assert seen[0][0].trainer.batch == 4
