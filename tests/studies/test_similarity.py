"""Similarity to the feature at a box center."""

import cv2
import numpy as np
import pytest

from everypose.errors import UsageError
from everypose.studies.overlay import blend, cells_to_image, spread
from everypose.studies.similarity import cells_in_boxes, cosine_similarity, feature_map, study_similarity
from studies.fake_maps import FakeMaps

IDENTITY = np.eye(2, 3)


def test_cosine_similarity_is_that_of_each_cell():
    feature = np.random.default_rng(0).normal(size=(5, 3, 4)).astype(np.float32)
    similarity = cosine_similarity(feature, (1, 2))
    center = feature[:, 1, 2]
    for row in range(3):
        for column in range(4):
            cell = feature[:, row, column]
            expected = cell @ center / (np.linalg.norm(cell) * np.linalg.norm(center))
            assert similarity[row, column] == pytest.approx(expected, abs=1e-6)


def test_cells_of_stride_4_are_at_the_middle_of_their_pixels():
    to_image = cells_to_image((16, 16), (64, 64), IDENTITY)
    np.testing.assert_allclose(to_image, [[4, 0, 1.5], [0, 4, 1.5]])
    inside = cells_in_boxes((16, 16), to_image, np.array([[1.5, 5.5, 9.4, 9.5]]))
    assert np.argwhere(inside[0]).tolist() == [[1, 0], [1, 1], [2, 0], [2, 1]]


def planted():
    """An image of 64 x 64 and a feature map with one vector for each of two people and a third for the rest."""
    feature = np.zeros((1, 3, 16, 16), np.float32)
    feature[0, 2] = 1
    feature[0, :, 4:12, 2:6] = np.array([1.0, 0, 0])[:, None, None]
    feature[0, :, 4:12, 9:13] = np.array([0.6, 0.8, 0])[:, None, None]
    boxes = np.array([[8.0, 16, 23.9, 47.9], [36.0, 16, 51.9, 47.9]])
    return np.full((64, 64, 3), 90, np.uint8), feature, boxes


def test_means_are_over_own_box_other_boxes_and_the_rest():
    image, feature, boxes = planted()
    study = study_similarity([FakeMaps(feature, "boir"), FakeMaps(feature, "boir")], image, boxes, name="pair.png")
    assert [row["person"] for row in study.rows] == [1, 1, 2, 2]
    assert [row["model"] for row in study.rows[:2]] == ["tiny boir (1)", "tiny boir (2)"]
    for row in study.rows:
        numbers = [row[name] for name in ("in the box", "in other boxes", "outside all boxes", "contrast")]
        assert numbers == pytest.approx([1, 0.6, 0, 0.4], abs=1e-6)
    picture = cv2.imdecode(np.frombuffer(study.picture, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[0] > 2 * 300
    assert picture.shape[1] > 3 * 300


def test_one_person_is_contrasted_with_the_rest():
    image, feature, boxes = planted()
    study = study_similarity([FakeMaps(feature, "boir")], image, boxes[:1])
    assert study.rows[0]["in other boxes"] is None
    # The other person's cells count as the rest here, at 0.6; all cells outside the box are 224.
    assert study.rows[0]["contrast"] == pytest.approx(1 - 0.6 * 32 / 224)
    assert "| 1 | tiny boir | 1.000 | – |" in study.table()


def test_a_map_drawn_on_the_image_is_where_its_cells_are():
    image, feature, _ = planted()
    maps, to_image = feature_map(FakeMaps(feature, "boir"), image)
    drawn = spread(np.asarray(maps[2] == 0, np.float32), to_image, (64, 64))
    assert drawn[24:40, 12:20].min() == 1
    assert drawn[:12].max() == 0
    colors = blend(image, drawn)
    assert colors[30, 16, 0] > colors[30, 16, 2]  # red in the person
    assert colors[2, 2, 2] >= colors[2, 2, 0]


def test_boxes_outside_the_image_and_no_boxes_are_refused():
    image, feature, _ = planted()
    model = FakeMaps(feature, "boir")
    with pytest.raises(UsageError, match="outside the image of 64 x 64"):
        study_similarity([model], image, np.array([[60.0, 0, 90, 20]]))
    with pytest.raises(UsageError, match=r"no person was detected in a\.png"):
        study_similarity([model], image, np.zeros((0, 4)), name="a.png")


def test_a_large_image_is_drawn_small(monkeypatch):
    _, feature, boxes = planted()
    panels = []
    monkeypatch.setattr("everypose.studies.similarity.contact_sheet", lambda images, *_, **__: panels.extend(images))
    monkeypatch.setattr("everypose.studies.similarity.encode", lambda *_: b"")
    rows = []
    for side in (64, 6144):
        image = np.full((side, side, 3), 90, np.uint8)
        study = study_similarity([FakeMaps(feature, "boir")], image, boxes * side / 64)
        rows.append([list(row.values())[2:] for row in study.rows])
    small, large = (panels[index] for index in (1, 5))
    assert small.shape == (64, 64, 3)
    assert large.shape == (2048, 2048, 3)
    np.testing.assert_allclose(rows[1], rows[0], atol=0.02)
    # The same colors, apart from the boxes' lines.
    shrunk = cv2.resize(large, (64, 64), interpolation=cv2.INTER_AREA).astype(int)
    assert np.median(np.abs(shrunk - small)) <= 3
