"""One skeleton of all data sets' keypoints: what prototypes find in one pass."""

from collections.abc import Mapping

from everypose.errors import EveryposeError
from everypose.skeleton.skeleton import Skeleton


def union_skeleton(skeletons: Mapping[str, Skeleton], name: str, *, need_sigmas: bool = True) -> Skeleton:
    """Concatenate the keypoints of all data sets, each named with its data set as prefix ("coco.nose").

    Args:
        skeletons: by the names of their data sets.
        name: the name of the joined skeleton.
        need_sigmas: require sigmas of every set, as OKS-based NMS does; if False, one set without sigmas makes all
            sigmas unknown.

    Raises:
        EveryposeError: if sigmas are needed and a set has none.

    >>> skeletons = {"coco": Skeleton.named("coco"), "ap10k": Skeleton.named("ap10k")}
    >>> union = union_skeleton(skeletons, "all")
    >>> len(union), union.keypoints[0], union.keypoints[-1]
    (34, 'coco.nose', 'ap10k.R_B_Paw')
    """
    keypoints: list[str] = []
    pairs: list[tuple[int, int]] = []
    links: list[tuple[int, int]] = []
    sigmas: list[float] = []
    for dataset, skeleton in skeletons.items():
        if need_sigmas and skeleton.sigmas is None:
            raise EveryposeError(
                f"the skeleton of {dataset} has no sigmas, which the NMS of duplicate detections needs: "
                "choose one data set with --skeleton NAME, or train with a skeleton file that has them ('everypose "
                "data sigmas' writes one)"
            )
        start = len(keypoints)
        keypoints += [f"{dataset}.{name}" for name in skeleton.keypoints]
        pairs += [(start + left, start + right) for left, right in skeleton.flip_pairs]
        links += [(start + one, start + other) for one, other in skeleton.links]
        sigmas += list(skeleton.sigmas or ())
    known = tuple(sigmas) if len(sigmas) == len(keypoints) else None
    return Skeleton(name, tuple(keypoints), tuple(pairs), tuple(links), known)
