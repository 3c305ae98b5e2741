import re
import tomllib

import pytest

from everypose.training.recipe import parse_recipe
from everypose.training.recipe_files import load_recipe, recipe_names
from training.conftest import TINY, draw_stick_figures


def test_list_names_every_bundled_recipe(everypose):
    done = everypose("recipes", "list")
    assert [line.split()[0] for line in done.out.splitlines()] == recipe_names()


def test_show_prints_the_whole_recipe_as_toml(everypose):
    done = everypose("recipes", "show", "cid-small", "--set", "optim.lr=1e-5")
    shown = parse_recipe(tomllib.loads(done.out))
    assert shown == load_recipe("cid-small", ["optim.lr=1e-5"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("check")
    draw_stick_figures(folder / "data", 3)
    (folder / "tiny.toml").write_text(TINY)
    return folder


def test_check_estimates_steps_memory_and_time(everypose, folder):
    words = ("recipes", "check", folder / "tiny.toml", "--set", "schedule.steps=0", "--set", "schedule.epochs=10")
    without = everypose(*words)
    assert (without.code, without.err) == (0, "")
    assert "needs --data" in without.out
    done = everypose(*words, "--data", folder / "data")
    assert done.code == 0, done.err
    assert "3 images in an epoch" in done.out
    assert "steps: 15 of 2 images" in done.out
    assert re.search(r"^network: boir, [1-9][\d.]* (thousand|million) parameters$", done.out, re.MULTILINE)
    assert re.search(r"^memory: about [1-9][\d.]* (MB|GB) a process in float32 \(", done.out, re.MULTILINE)
    assert re.search(r"^time: at least [\d.e-]*[1-9][\d.]* (seconds|minutes|hours) here, at ", done.out, re.MULTILINE)
    assert re.search(r" 0(\.0+)? ", done.out) is None


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["optim.rate=1"], "no field optim.rate"),
        (["model.family=bior"], "no known family; did you mean boir?"),
        (["crops.sigma=2"], "there is no field crops in a recipe of the family boir, which only simple-baseline"),
        (["losses.contrastive=1"], "which only cid has"),
        (["data.val_split=none-such"], "none-such"),
        (["start.weights=absent.pth"], "absent.pth"),
    ],
)
def test_check_names_what_is_wrong(everypose, folder, overrides, message):
    sets = [word for override in overrides for word in ("--set", override)]
    done = everypose("recipes", "check", folder / "tiny.toml", *sets, "--data", folder / "data")
    assert done.code in (1, 2)
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.batch=1"], "cannot train with one: give --set trainer.batch=2 or more"),
        (["trainer.batch=10000000000"], "trainer.batch must be at most 1000000000"),
        (["model.neck=65536", "model.neck_branch=65536"], "parameters; "),
    ],
)
def test_check_without_data_names_what_cannot_be_trained(everypose, folder, overrides, message):
    done = everypose("recipes", "check", folder / "tiny.toml", *[word for one in overrides for word in ("--set", one)])
    assert done.code in (1, 2)
    assert message in done.err
    assert (done.out, len(done.err.strip().splitlines())) == ("", 1)
