"""A newcomer's first hour: own photos, labeled in CVAT with nine keypoints, up to the report of an own model."""

import json
import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest

from drawn_mice import LINKS, NAMES, PHOTOS, draw_mice, relabeled
from everypose.data.discovery.layouts import find_data

RECIPE = """
name = "mice"
[model]
family = "boir"
instance = 4
neck_branch = 4
neck = 4
head = 4
embedding = 4
[model.backbone]
kind = "hrnet"
width = 4
modules = [1, 1, 1]
blocks = 1
stem_blocks = 1
[data]
size = 64
minimum_area = 0
workers = 0
[inference]
size = 64
[optim]
lr = 1e-2
[schedule]
steps = 50
warmup_epochs = 0.5
[validation]
flip = false
[trainer]
batch = 2
"""


@pytest.fixture
def mice(tmp_path, monkeypatch) -> Path:
    """The folder of the data, in an otherwise empty working folder, with two slips of a first try in the labels."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "mice"
    (folder / "annotations").mkdir(parents=True)
    for seed, split in enumerate(("train", "val")):
        content = draw_mice(folder, split, seed)
        if split == "train":
            (tmp_path / "ben.json").write_text(json.dumps(relabeled(content)))
            content["annotations"][1]["bbox"] = [0, 0, 0, 0]
            content["annotations"][2]["num_keypoints"] = 4
        (folder / "annotations" / f"person_keypoints_{split}.json").write_text(json.dumps(content))
    return folder


class Page(HTMLParser):
    """Checks that every element is closed in its order, and collects headings and pictures."""

    EMPTY = ("meta", "img", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.pictures: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.pictures.append(dict(attrs)["src"])
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings.append(data)


@pytest.mark.usefixtures("mice")
def test_doctor_sees_what_reading_will_repair(everypose):
    done = everypose("data", "doctor", "mice", "--json")
    assert (done.code, done.err) == (0, "")
    train, val = json.loads(done.out)["files"]
    found = {flaw["kind"]: (flaw["severity"], flaw["count"]) for flaw in train["flaws"]}
    assert found == {
        "no_area": ("repaired", train["annotations"]), "box_size": ("repaired", 1), "num_keypoints": ("repaired", 1)
    }  # fmt: skip
    assert [flaw["kind"] for flaw in val["flaws"]] == ["no_area"]
    assert train["readable"]
    assert train["image_root"].endswith("images/train")
    assert any("sigmas" in note for note in train["notes"])


def test_the_set_is_found_and_read(mice):
    scenes = find_data(mice, "train").read()
    assert len(scenes) == PHOTOS
    assert scenes.skeleton.keypoints == tuple(NAMES)
    assert scenes.skeleton.flip_pairs == ((1, 2), (3, 4), (5, 6))
    assert scenes.skeleton.links == tuple((start - 1, end - 1) for start, end in LINKS)
    assert all((scene.areas > 0).all() and scene.path.exists() for scene in scenes)
    assert len(scenes.repairs) == 3


@pytest.mark.usefixtures("mice")
@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "mice.toml", "--data", "mice"),
        ("evaluate", "--predictions", "none.json", "--annotations", "mice/annotations/person_keypoints_val.json"),
    ],
)
def test_unknown_sigmas_are_asked_for(everypose, arguments):
    Path("mice.toml").write_text(RECIPE)
    Path("none.json").write_text("[]")
    done = everypose(*arguments)
    assert (done.code, done.out) == (1, "")
    message = done.err.splitlines()[-1]
    for words in ("sigmas of the skeleton 'mouse'", "everypose data sigmas", "data.skeleton", "--sigmas"):
        assert words in message
    assert not Path("runs").exists()


@pytest.mark.usefixtures("mice")
def test_own_sigmas_are_written_down(everypose):
    values = [0.02, 0.03, 0.03, 0.05, 0.05, 0.05, 0.05, 0.04, 0.06]
    labels = "mice/annotations/person_keypoints_train.json"
    done = everypose("data", "sigmas", labels, "--values", ",".join(map(str, values)), "-o", "mouse.toml")
    assert done.code == 0, done.err
    rows = tomllib.loads(Path("mouse.toml").read_text())["keypoints"]
    assert [row["sigma"] for row in rows] == values
    for wrong, words in ((("--values", "0.1"), "1 sigmas are given"), ((), "a second annotation file")):
        done = everypose("data", "sigmas", labels, *wrong)
        assert (done.code, words in done.err, done.err.count("\n")) == (2, True, 1)


@pytest.mark.usefixtures("mice")
def test_from_photos_to_a_report(everypose):
    """Sigmas from a second annotator, 50 steps of training, a score with its protocol, a page."""
    Path("mice.toml").write_text(RECIPE)
    labels = "mice/annotations/person_keypoints_train.json"
    done = everypose("data", "sigmas", labels, "ben.json", "-o", "mouse.toml")
    assert done.code == 0, done.err
    done = everypose("train", "mice.toml", "--data", "mice", "--set", "data.skeleton=mouse.toml", "--quiet")
    assert done.code == 0, done.err
    model = done.out.removeprefix("model: ").split(",")[0]
    evaluate = ("evaluate", model, "--data", "mice", "--split", "val")
    done = everypose(*evaluate, "-o", "mice.json", "--report", "mice.html")
    assert done.code == 0, done.err
    record = json.loads(Path("mice.json").read_text())
    assert 0 <= record["numbers"][""]["AP"] <= 1
    protocol = record["protocol"]
    assert (protocol["metric"], protocol["dataset"], protocol["split"]) == ("coco", "mice", "val")
    assert (protocol["boxes"], protocol["flip"], protocol["keypoints"]) == ("none", False, "mouse")
    assert (protocol["images"], protocol["area"]) == (PHOTOS, "0.53 x box")
    assert [row["keypoint"] for row in record["keypoints"]] == NAMES
    report = Path("mice.html").read_text()
    page = Page()
    page.feed(report)
    assert page.open == []
    assert page.headings[:3] == ["mice on mice val", "Numbers", "Protocol"]
    for words in ("short side 64", "OKS 0.8", record["model_sha256"], "a CVAT export"):
        assert words in report
    assert page.pictures
    assert not re.search(r"(src|href)=\"(?!data:)", report)
