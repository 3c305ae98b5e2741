"""An interrupted run goes on where it ended, and equals one that nothing disturbed; old files do not stay."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from everypose.errors import EveryposeError, UsageError
from everypose.inference.bulk import predict_all
from everypose.inference.inputs import find_images
from everypose.inference.outputs import open_outputs
from everypose.inference.run_files import OutputOptions
from everypose.inference.single_stage import SingleStageEstimator
from everypose.models.config import ModelConfig
from inference.stand_in import StandIn, config, crowd


@pytest.fixture
def sources(tmp_path: Path):
    import cv2

    (tmp_path / "photos").mkdir()
    for number in range(6):
        blocks = [(number % 2, number % 3 % 2, 60 + 20 * number)]
        cv2.imwrite(str(tmp_path / "photos" / f"p{number}.png"), crowd(blocks)[..., ::-1])
    return find_images([str(tmp_path / "photos")])


class Ending(StandIn):
    """A model that ends the process's run after some images."""

    left = 10**9

    def run(self, images, min_score=0.0):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().run(images, min_score)


def run(sources, out: Path, *, after: int = 10**9, resume: bool = False, size: int = 64) -> list[str]:
    """Predict; the names of the images that the run had to do."""
    model = Ending()
    model.left = after
    estimator = SingleStageEstimator(model, ModelConfig.model_validate(config()), batch_size=1)
    with open_outputs(out, sources, settings={"size": size}, resume=resume) as outputs:
        remaining = outputs.unfinished()
        predict_all(estimator, remaining, outputs, quiet=True)
    return [source.name for source in remaining]


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_resumed_run_equals_an_undisturbed_one(sources, tmp_path: Path) -> None:
    run(sources, tmp_path / "whole")
    for after in (0, 1, 4):
        out = tmp_path / f"out{after}"
        with pytest.raises(KeyboardInterrupt):
            run(sources, out, after=after)
        assert not (out / "results.json").exists()
        left = run(sources, out, resume=True)
        assert len(left) >= 6 - after
        assert len(left) < 6 or after < 4
        assert not list(out.glob(".*"))
        assert content(out) == content(tmp_path / "whole")


def test_an_image_that_changed_or_lost_its_files_is_done_again(sources, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(sources, tmp_path / "out", after=5)
    done = [path.stem for path in (tmp_path / "out" / "json").iterdir()]
    (tmp_path / "out" / "json" / f"{done[0]}.json").unlink()
    changed = next(source for source in sources if source.name == done[1])
    shutil.copy(next(source.path for source in sources if source is not changed), changed.path)
    assert {done[0], done[1]} <= set(run(sources, tmp_path / "out", resume=True))


def test_images_done_with_other_settings_are_done_again(sources, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(sources, tmp_path / "out", after=4)
    assert len(run(sources, tmp_path / "out", resume=True, size=128)) == 6


def test_images_of_another_folder_are_not_done(sources, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(sources, tmp_path / "out", after=4)
    shutil.copytree(sources[0].path.parent, tmp_path / "other")  # the copies are as old as the images
    others = [replace(source, path=tmp_path / "other" / source.path.name) for source in sources]
    assert run(others, tmp_path / "out", resume=True) == [source.name for source in sources]


def test_without_an_interrupted_run_all_is_done(sources, tmp_path: Path) -> None:
    assert len(run(sources, tmp_path / "out", resume=True)) == 6
    assert run(sources, tmp_path / "out", resume=True) == []
    (tmp_path / "out" / "json" / "p1.json").write_bytes(b"\xff not JSON")
    assert run(sources, tmp_path / "out", resume=True) == ["p1"]


def test_resuming_needs_the_json_files(sources, tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match="--save json"),
        open_outputs(tmp_path / "out", sources, OutputOptions(save=("pictures",)), resume=True),
    ):
        pass


def test_leftovers_of_killed_runs_are_removed_and_others_stay(sources, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for name in (f".results-{gone.pid}-abcdefgh.json", f".results-{os.getpid()}-abcdefgh.json", ".mine.json"):
        (out / name).write_text("")
    inner = out / "pictures" / "day 1"
    inner.mkdir(parents=True)
    (inner / f".p0-{gone.pid}-abcdefgh.jpg").write_text("")
    own = out / "my own" / f".p0-{gone.pid}-abcdefgh.jpg"
    own.parent.mkdir()
    own.write_text("")
    run(sources, out)
    assert sorted(path.name for path in out.glob(".*")) == [".mine.json", f".results-{os.getpid()}-abcdefgh.json"]
    assert not list(inner.iterdir())
    assert own.exists()


def test_files_of_an_earlier_run_do_not_stay_and_others_do(sources, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(sources, out)
    (out / "json" / "mine.json").write_text("{}")
    run(sources[:2], out)
    assert {path.stem for path in (out / "json").iterdir()} == {"p0", "p1", "mine"}
    assert {path.stem for path in (out / "pictures").iterdir()} == {"p0", "p1"}
    names = {row["file_name"] for row in json.loads((out / "results.json").read_text())}
    assert names <= {"p0.png", "p1.png"}


def test_a_folder_that_cannot_be_written_is_one_line(sources, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EveryposeError, match="cannot write"):
        run(sources, tmp_path / "file")
