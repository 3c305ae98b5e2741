"""The pairs that two sets share, side by side on one HTML page that needs no other file."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path

import cv2

from everypose.data.images import read_image
from everypose.data.leakage.find_shared import Shared
from everypose.errors import EveryposeError

PAIRS_SHOWN = 500
_WIDTH, _HEIGHT = 720, 180
"""The largest size of a shown image, in pixels."""

_STYLE = (
    "body{font:15px system-ui,sans-serif;margin:2rem;max-width:60rem}figure{margin:0 0 1.5rem}"
    "img{height:180px;max-width:48%;object-fit:contain;margin-right:.5rem}figcaption{color:#444}"
)


def overlap_page(pairs_of_sets: Sequence[tuple[str, str, Sequence[Shared]]]) -> str:
    """The page for pairs of sets (name, name, shared pairs); the first 500 pairs of each are shown.

    >>> "0 shared images" in overlap_page([("train", "val", [])])
    True
    """
    parts = [f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Overlap</title><style>{_STYLE}</style>']
    for first, second, shared in pairs_of_sets:
        parts.append(f"<h1>{html.escape(first)} and {html.escape(second)}: {len(shared):,} shared images</h1>")
        if len(shared) > PAIRS_SHOWN:
            parts.append(f"<p>The first {PAIRS_SHOWN} are shown; overlap.json lists all.</p>")
        parts += [_figure(pair) for pair in shared[:PAIRS_SHOWN]]
    return "\n".join([*parts, "</html>\n"])


def _figure(pair: Shared) -> str:
    caption = f"{pair.first} and {pair.second}: {pair.how}, {pair.similarity:.3f}"
    return f"<figure>{_image(pair.first)}{_image(pair.second)}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _image(path: Path) -> str:
    """An <img> that holds a small JPEG of the picture."""
    try:
        image = read_image(path)
    except EveryposeError as error:
        return f"<p>{html.escape(str(error))}</p>"
    height, width = image.shape[:2]
    scale = min(_WIDTH / width, _HEIGHT / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80])
    content = base64.b64encode(encoded.tobytes()).decode()
    return f'<img alt="{html.escape(path.name)}" src="data:image/jpeg;base64,{content}">'
