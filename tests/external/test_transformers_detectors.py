"""The boxes of the RT-DETR family in everypose and in the post-processing of transformers, on equal outputs.

transformers is in an environment of its own: `make test-transformers` installs it. Without it these tests are skipped.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from everypose.inference.detr_layouts import HuggingFaceRtDetr, RfDetr
from everypose.inference.runtimes.protocols import Arrays

transformers = pytest.importorskip("transformers")

THRESHOLD = 0.3
WIDTH, HEIGHT = 731, 413


def random_outputs(classes: int, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    logits = rng.normal(-3, 2, (1, 300, classes)).astype(np.float32)
    return {"logits": logits, "pred_boxes": rng.uniform(0.05, 0.9, (1, 300, 4)).astype(np.float32)}


def expected(module: str, processor: str, outputs: Arrays, person: int) -> tuple[np.ndarray, np.ndarray]:
    """The boxes and scores of one class by transformers, best first; all queries of all classes are kept."""
    kind = getattr(pytest.importorskip(f"transformers.models.{module}"), processor)
    tensors = SimpleNamespace(**{name: torch.from_numpy(value) for name, value in outputs.items()})
    (found,) = kind.post_process_object_detection(None, tensors, threshold=THRESHOLD, target_sizes=[(HEIGHT, WIDTH)])
    own = found["labels"].numpy() == person
    return found["boxes"].numpy()[own], found["scores"].numpy()[own]


@pytest.mark.parametrize("seed", range(3))
def test_rt_detr_and_d_fine(seed):
    outputs = random_outputs(80, seed)
    outputs["logits"][..., 1:] -= 4  # transformers keeps 300 of all classes
    boxes, scores = expected("rt_detr.image_processing_pil_rt_detr", "RTDetrImageProcessorPil", outputs, 0)
    found = HuggingFaceRtDetr((640, 640)).boxes(outputs, (WIDTH, HEIGHT), THRESHOLD)
    order = np.argsort(-found.scores, kind="stable")
    assert len(found) > 20
    assert found.boxes[order] == pytest.approx(boxes, abs=1e-4)
    assert found.scores[order] == pytest.approx(scores, abs=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_rf_detr(seed):
    outputs = random_outputs(91, seed)
    outputs["logits"][..., [0, *range(2, 91)]] -= 4
    boxes, scores = expected("rf_detr.image_processing_rf_detr", "RfDetrImageProcessor", outputs, 1)
    own = {"dets": outputs["pred_boxes"], "labels": outputs["logits"]}
    found = RfDetr("input", (576, 576)).boxes(own, (WIDTH, HEIGHT), THRESHOLD)
    order = np.argsort(-found.scores, kind="stable")
    assert len(found) > 20
    assert found.boxes[order] == pytest.approx(boxes, abs=1e-4)
    assert found.scores[order] == pytest.approx(scores, abs=1e-4)
