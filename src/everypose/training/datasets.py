"""Reading the data sets that a recipe names."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from everypose.data.discovery.layouts import find_data
from everypose.data.formats.coco import read_coco
from everypose.data.formats.tar_set import names_tars, read_tar_set
from everypose.data.scenes import Scene, SceneSet
from everypose.errors import EveryposeError
from everypose.methods.single_stage.samples import training_scenes
from everypose.skeleton.skeleton import Skeleton
from everypose.training.sections import OneSetSection, Source


def read_training_set(data: OneSetSection) -> list[SceneSet]:
    """The sets that a recipe trains on: its sources, or the layout found under its root, and the extra sets.

    Raises:
        EveryposeError: if a set cannot be found or read, has no labeled person, or has another skeleton than the first.

    >>> sources = (Source(annotations="people.json", images="."),)
    >>> [people] = read_training_set(OneSetSection(root=".", train=sources))
    >>> len(people), people.skeleton.name
    (1, 'coco')
    """
    sets = _read_split(data, data.train, data.dataset, data.train_split) + [
        _read_source(data, source) for source in data.extra
    ]
    for other in sets[1:]:
        require_same_skeleton(sets[0], other.label, other.skeleton)
    return sets


def require_same_skeleton(first: SceneSet, label: str, skeleton: Skeleton) -> None:
    """Check that another set of a run, for training or validation, has the keypoints of the first.

    Args:
        first: the first training set.
        label: what messages call the other set.
        skeleton: of the other set.

    Raises:
        EveryposeError: if the keypoints differ.

    >>> from everypose.skeleton.skeleton import Skeleton
    >>> people = SceneSet([], Skeleton.named("coco"), "people")
    >>> require_same_skeleton(people, "crowds", Skeleton.named("crowdpose"))
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: crowds has the keypoints of crowdpose, people those of coco: sets of one run ...
    """
    if skeleton.keypoints != first.skeleton.keypoints:
        raise EveryposeError(
            f"{label} has the keypoints of {skeleton.name}, {first.label} those of {first.skeleton.name}: sets of one "
            "run must share one skeleton"
        )


def _read_split(data: OneSetSection, sources: Sequence[Source], dataset: str, split: str) -> list[SceneSet]:
    if sources:
        return [_read_source(data, source) for source in sources]
    layout = find_data(Path(data.root), split, dataset)
    skeleton = _skeleton(data)
    return [replace(layout, annotation_files=(file,)).read(skeleton) for file in layout.annotation_files]


def _read_source(data: OneSetSection, source: Source) -> SceneSet:
    return read_source(source, Path(data.root), _skeleton(data))


def read_source(source: Source, root: Path, skeleton: Skeleton | None) -> SceneSet:
    """Read a set for training: COCO-format annotations of images in a folder or in tars.

    Args:
        source: names its files.
        root: the folder that relative paths start from.
        skeleton: what the keypoints are; None for what the annotations say.

    Raises:
        EveryposeError: if it cannot be read, or its keypoints are not those of ``skeleton``.

    >>> len(read_source(Source(annotations="people.json", images="photos"), Path(), None))
    1
    """
    annotations = Path(root, source.annotations) if source.annotations else None
    if names_tars(source.images):
        return read_tar_set(str(Path(root, source.images)), annotations, skeleton)
    if annotations is None:
        raise EveryposeError(
            f"the images {source.images} need a file of annotations: only those in tars can have their own"
        )
    return read_coco(annotations, Path(root, source.images), skeleton)


def _skeleton(data: OneSetSection) -> Skeleton | None:
    return Skeleton.find(data.skeleton) if data.skeleton else None


def trainable(sets: Sequence[SceneSet], *, mask_unlabeled: bool) -> list[Scene]:
    """The scenes of all sets that have something to train on.

    Raises:
        EveryposeError: if there is none.

    >>> from everypose.skeleton.skeleton import Skeleton
    >>> trainable([SceneSet([], Skeleton.named("coco"), "empty")], mask_unlabeled=True)
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: no image of empty has a person with labeled keypoints: there is ...
    """
    scenes = [scene for one in sets for scene in training_scenes(one, need_keypoints=mask_unlabeled)]
    if not any(scene.is_labeled_person.any() for scene in scenes):
        files = ", ".join(one.label for one in sets)
        raise EveryposeError(f"no image of {files} has a person with labeled keypoints: there is nothing to train on")
    return scenes
