"""The category of a composed set, where the source file has none."""

from pathlib import Path

from everypose.data.crowds.annotations import ComposedAnnotations
from everypose.data.scenes import SceneSet
from everypose.skeleton.skeleton import Skeleton


def test_pairs_that_the_names_do_not_tell_are_written() -> None:
    pair = Skeleton("pair", ("a", "b"), ((0, 1),), ((0, 1),), None)
    [category] = ComposedAnnotations(SceneSet([], pair, "joined")).content({})["categories"]
    assert Skeleton.from_coco_category(category).flip_pairs == pair.flip_pairs


def test_a_file_in_the_form_of_mpii_has_no_categories(tmp_path: Path) -> None:
    path = tmp_path / "mpii.json"
    path.write_text("[]")
    mpii = SceneSet([], Skeleton.named("mpii"), "mpii", path)
    [category] = ComposedAnnotations(mpii).content({})["categories"]
    assert category["keypoints"] == list(mpii.skeleton.keypoints)
