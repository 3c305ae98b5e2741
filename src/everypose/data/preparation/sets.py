"""The data sets that can be prepared, with their terms."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from everypose.data.preparation.aic import prepare_aic
from everypose.data.preparation.apt36k import prepare_apt36k
from everypose.data.preparation.interhand import prepare_interhand
from everypose.data.preparation.prepared import Prepared
from everypose.data.preparation.published_coco import prepare_halpe, prepare_wholebody
from everypose.data.preparation.pw3d import prepare_pw3d
from everypose.errors import EveryposeError, UsageError


class Preparation(Protocol):
    """A function that prepares one data set.

    >>> preparation: Preparation = prepare_aic
    >>> preparation is SETS["aic"].prepare
    True
    """

    def __call__(self, folder: Path, *, quiet: bool = False) -> Sequence[Prepared]:
        """Read the original download in a folder."""
        ...


@dataclass(frozen=True)
class OriginalSet:
    """A data set as its authors publish it.

    Attributes:
        title: its name.
        prepare: what reads the download.
        terms: license and terms, or that they are to be read on the page.
        page: where it is published.

    >>> SETS["aic"].title, SETS["aic"].prepare.__name__
    ('AI Challenger keypoints', 'prepare_aic')
    """

    title: str
    prepare: Preparation
    terms: str
    page: str


READ_THE_PAGE = "read the terms of annotations and images on its page before you use it"
SETS = {
    "aic": OriginalSet(
        "AI Challenger keypoints", prepare_aic, READ_THE_PAGE, "https://github.com/AIChallenger/AI_Challenger_2017"
    ),
    "apt36k": OriginalSet("APT-36K", prepare_apt36k, READ_THE_PAGE, "https://github.com/pandorgan/APT-36K"),
    "coco_wholebody": OriginalSet(
        "COCO-WholeBody",
        prepare_wholebody,
        "annotations for non-commercial research only; photos under COCO's terms",
        "https://github.com/jin-s13/COCO-WholeBody",
    ),
    "halpe": OriginalSet(
        "Halpe-FullBody",
        prepare_halpe,
        f"{READ_THE_PAGE}; photos under the terms of HICO-DET and COCO",
        "https://github.com/Fang-Haoshu/Halpe-FullBody",
    ),
    "interhand2d": OriginalSet(
        "InterHand2.6M", prepare_interhand, "CC BY-NC 4.0", "https://mks0601.github.io/InterHand2.6M"
    ),
    "pw3d": OriginalSet(
        "3DPW",
        prepare_pw3d,
        "non-commercial scientific research only, after accepting its license",
        "https://virtualhumans.mpi-inf.mpg.de/3DPW",
    ),
}
"""Name of the skeleton to data set."""


def original_set(name: str) -> OriginalSet:
    """The data set of a name.

    Raises:
        UsageError: if there is no such name.

    >>> original_set("pw3d").title
    '3DPW'
    """
    if name not in SETS:
        raise UsageError(f"{name!r} cannot be prepared; the data sets are {', '.join(SETS)}")
    return SETS[name]


def prepare_set(name: str, folder: Path, *, quiet: bool = False) -> Sequence[Prepared]:
    """Read the original download of a data set; nothing is written or downloaded.

    Args:
        name: see ``SETS``.
        folder: of the extracted download.
        quiet: show no progress bar.

    Raises:
        UsageError: if there is no such name.
        EveryposeError: if the folder does not hold the download, or a file is damaged.

    >>> prepare_set("aic", Path("missing"))
    Traceback (most recent call last):
        ...
    everypose.errors.EveryposeError: missing is not a folder: download AI Challenger keypoints from ...
    """
    chosen = original_set(name)
    if not folder.is_dir():
        raise EveryposeError(
            f"{folder} is not a folder: download {chosen.title} from {chosen.page} and extract it there"
        )
    return chosen.prepare(folder, quiet=quiet)
