"""Images that two sets share: the same file, or the same picture resized, recompressed, slightly cropped or mirrored.

Two steps. First every picture becomes a short descriptor, its low cosine frequencies (the idea of perceptual hashes;
Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010) as a unit vector, for the whole
picture and for slight crops of it; pairs with a high cosine are candidates. Then each candidate is aligned (Evangelidis
and Psarakis, "Parametric image alignment using enhanced correlation coefficient maximization", PAMI 2008) and kept
when the aligned pictures correlate.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from everypose.core.arrays import Float32, Int64
from everypose.core.ordered_work import generator_threads
from everypose.data.images import decode_image
from everypose.errors import EveryposeError

How = Literal["same file", "same picture", "mirrored picture"]

CANDIDATE_COSINE = 0.72
SAME_CORRELATION = 0.94
CANDIDATES_PER_IMAGE = 5

_THUMBNAIL = 64
_FLAT = 2.0
_GRID = 32
_FREQUENCIES = 8
_CROPS = (
    (0.0, 0.0, 1.0, 1.0),
    *((x, y, x + 0.9, y + 0.9) for x in (0.0, 0.05, 0.1) for y in (0.0, 0.05, 0.1)),
    *((0.0, y, 1.0, y + 0.9) for y in (0.0, 0.1)),
    *((x, 0.0, x + 0.9, 1.0) for x in (0.0, 0.1)),
)
_BLOCK_PAIRS = 50_000_000
_THREADS = 4


@dataclass(frozen=True)
class Picture:
    """What is kept of an image: the file's hash, a gray thumbnail (64, 64) uint8, descriptors (V, 63) float32.

    The first descriptor is the whole picture's, the others those of its crops.

    >>> _ = cv2.imwrite("black.png", np.zeros((48, 64, 3), np.uint8))
    >>> picture = describe(Path("black.png"))
    >>> picture.thumbnail.shape, picture.descriptors.shape[1]
    ((64, 64), 63)
    """

    path: Path
    digest: str
    thumbnail: npt.NDArray[np.uint8]
    descriptors: Float32


@dataclass(frozen=True)
class Shared:
    """A pair of images that are the same picture.

    Attributes:
        similarity: correlation of the aligned pictures, 1.0 for the same file.

    >>> Shared(Path("a.jpg"), Path("b.jpg"), how="mirrored picture", similarity=0.99).how
    'mirrored picture'
    """

    first: Path
    second: Path
    how: How
    similarity: float


def describe(path: Path) -> Picture:
    """Read an image and describe it.

    Raises:
        EveryposeError: if it cannot be read.

    >>> noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    >>> _ = cv2.imwrite("noise.png", noise)
    >>> len(describe(Path("noise.png")).digest)
    64
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EveryposeError(f"cannot read {path}: {error.strerror or error}") from error
    gray = cv2.cvtColor(decode_image(content, str(path)), cv2.COLOR_RGB2GRAY)
    thumbnail = cv2.resize(gray, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA)
    return Picture(path, hashlib.sha256(content).hexdigest(), thumbnail, _descriptors(thumbnail))


def describe_all(paths: Iterable[Path]) -> Iterator[Picture | str]:
    """Describe images, several at once and in their order; an image that cannot be read gives an error message.

    >>> list(describe_all([Path("missing.png")]))
    ['cannot read missing.png: No such file or directory']
    """
    with generator_threads(_THREADS) as pool:
        yield from pool.map(_described, paths)


def shared_images(first: Sequence[Picture], second: Sequence[Picture]) -> list[Shared]:
    """All pairs of the same picture, one from each set, in the order of the first set.

    A pair with equal files is not compared further; a picture can have several counterparts.

    >>> photo = cv2.resize(np.random.default_rng(1).integers(0, 255, (6, 8, 3), np.uint8), (64, 48))
    >>> _ = cv2.imwrite("photo.png", photo), cv2.imwrite("mirrored.png", photo[:, ::-1])
    >>> one, other = (describe(Path(name)) for name in ("photo.png", "mirrored.png"))
    >>> [shared.how for shared in shared_images([one], [other])]
    ['mirrored picture']
    """
    pairs: dict[tuple[int, int], Shared] = {}
    by_digest: dict[str, list[int]] = {}
    for index, picture in enumerate(second):
        by_digest.setdefault(picture.digest, []).append(index)
    for i, picture in enumerate(first):
        for j in by_digest.get(picture.digest, []):
            pairs[i, j] = Shared(picture.path, second[j].path, "same file", 1.0)
    candidates = [pair for pair in _candidates(first, second) if pair[:2] not in pairs]
    with ThreadPoolExecutor(_THREADS) as pool:
        similarities = pool.map(lambda c: _aligned_correlation(first[c[0]], second[c[1]], c[2]), candidates)
    for (i, j, mirrored), similarity in zip(candidates, similarities, strict=True):
        known = pairs.get((i, j))
        if similarity >= SAME_CORRELATION and (known is None or known.similarity < similarity):
            how: How = "mirrored picture" if mirrored else "same picture"
            pairs[i, j] = Shared(first[i].path, second[j].path, how, similarity)
    return [pairs[pair] for pair in sorted(pairs)]


def _described(path: Path) -> Picture | str:
    try:
        return describe(path)
    except EveryposeError as error:
        return str(error)


def _descriptors(thumbnail: npt.NDArray[np.uint8]) -> Float32:
    """(V, 63) unit vectors: the 8 x 8 lowest cosine frequencies without the mean, evened out, of each crop."""
    rows = []
    for left, top, right, bottom in _CROPS:
        x1, y1, x2, y2 = (round(edge * _THUMBNAIL) for edge in (left, top, right, bottom))
        crop = cv2.resize(thumbnail[y1:y2, x1:x2], (_GRID, _GRID), interpolation=cv2.INTER_AREA)
        rows.append(cv2.dct(crop.astype(np.float32))[:_FREQUENCIES, :_FREQUENCIES].reshape(-1)[1:])
    # Natural pictures' amplitudes fall with the frequency: evened out, fine structure counts as much as coarse.
    frequency = np.hypot(*np.indices((_FREQUENCIES, _FREQUENCIES))).reshape(-1)[1:]
    values = np.array(rows) * frequency
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.maximum(lengths, 1e-6), dtype=np.float32)


def _mirror_signs() -> Float32:
    """(63,) what mirroring does to a descriptor: odd horizontal frequencies change their sign."""
    signs = np.where(np.arange(_FREQUENCIES) % 2, -1, 1)
    return np.tile(signs, (_FREQUENCIES, 1)).reshape(-1)[1:].astype(np.float32)


def _candidates(first: Sequence[Picture], second: Sequence[Picture]) -> list[tuple[int, int, bool]]:
    """Pairs (i, j, mirrored) with a high cosine between a whole picture and a whole or cropped other one."""
    if not first or not second:
        return []
    whole = np.stack([picture.descriptors[0] for picture in second])
    crops = np.stack([picture.descriptors for picture in second])
    found: list[tuple[int, int, bool]] = []
    rows_at_once = max(1, _BLOCK_PAIRS // len(second))
    for start in range(0, len(first), rows_at_once):
        block = first[start : start + rows_at_once]
        block_crops = np.stack([picture.descriptors for picture in block])
        for mirrored in (False, True):
            signs = _mirror_signs() if mirrored else np.float32(1)
            cosine = _best_cosine(block_crops, whole * signs, crops * signs)
            rows, columns = _strongest(cosine)
            found += [(start + int(i), int(j), mirrored) for i, j in zip(rows, columns, strict=True)]
    return found


def _best_cosine(a: Float32, b_whole: Float32, b: Float32) -> Float32:
    """(I, J) from descriptors (I, V, D), (J, D) and (J, V, D): the best of crop to whole and whole to crop."""
    best = np.full((len(a), len(b)), -1, np.float32)
    for crop in range(a.shape[1]):
        np.maximum(best, a[:, crop] @ b_whole.T, out=best)
        np.maximum(best, a[:, 0] @ b[:, crop].T, out=best)
    return best


def _strongest(cosine: Float32) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns above the threshold that are among the strongest of their row or of their column."""
    rows, columns = np.nonzero(cosine >= CANDIDATE_COSINE)
    strength = cosine[rows, columns]
    kept = (_rank(rows, strength) < CANDIDATES_PER_IMAGE) | (_rank(columns, strength) < CANDIDATES_PER_IMAGE)
    return rows[kept], columns[kept]


def _rank(group: npt.NDArray[np.intp], strength: Float32) -> Int64:
    """(P,) the place of each in its group by falling strength, from 0."""
    order = np.lexsort((-strength, group))
    ordered = group[order]
    first = np.searchsorted(ordered, ordered)
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(group)) - first
    return rank


def _aligned_correlation(first: Picture, second: Picture, mirrored: bool) -> float:
    """Correlation of two thumbnails where they overlap, after an affine alignment; 0 where none is found.

    The alignment starts from equal frames, then from either picture being a crop of the other.
    """
    template = first.thumbnail
    other = np.ascontiguousarray(second.thumbnail[:, ::-1]) if mirrored else second.thumbnail
    if template.std() < _FLAT or other.std() < _FLAT:
        return 0.0
    best = 0.0
    for scale in (1.0, 0.9, 1 / 0.9):
        shift = (1 - scale) / 2 * _THUMBNAIL
        start = np.array([[scale, 0, shift], [0, scale, shift]], np.float32)
        best = max(best, _correlation_from(template, other, start))
        if best >= SAME_CORRELATION:
            break
    return best


def _correlation_from(template: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8], start: Float32) -> float:
    """Correlation of two pictures after an alignment that starts from the map ``start`` (2, 3)."""
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-4)
    try:
        _, warp = cv2.findTransformECC(template, other, start, cv2.MOTION_AFFINE, stop, None, 5)
    except cv2.error:
        return 0.0
    if not _is_slight(warp):
        return 0.0
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(other, warp, (_THUMBNAIL, _THUMBNAIL), flags=flags)
    inside = cv2.warpAffine(np.full_like(other, 255), warp, (_THUMBNAIL, _THUMBNAIL), flags=flags) == 255
    a, b = template[inside].astype(np.float64), moved[inside].astype(np.float64)
    if a.size == 0 or a.std() < _FLAT or b.std() < _FLAT:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _is_slight(warp: Float32) -> bool:
    """Whether an alignment is a slight crop: scales of 0.7 to 1.4, hardly a turn, most still in view."""
    scales = np.abs(np.diag(warp[:, :2]))
    turned = max(abs(warp[0, 1]), abs(warp[1, 0]))
    return bool(
        (scales > 0.7).all() and (scales < 1.4).all() and turned < 0.1 and np.abs(warp[:, 2]).max() < 0.4 * _THUMBNAIL
    )
