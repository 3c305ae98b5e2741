import json
import re

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from everypose.errors import EveryposeError
from everypose.inference.boxes import Photo
from everypose.inference.onnx_detectors import OnnxDetector, PicoDet
from everypose.inference.runtimes.onnx import open_session
from inference.crop_stand_in import save_graph

SIDE = 64
FLOAT = TensorProto.FLOAT
IMAGE = {"images": (FLOAT, [1, 3, SIDE, SIDE])}


def node(kind, inputs, output, **attributes):
    return helper.make_node(kind, inputs.split(), [output], **attributes)


def cells(stride):
    """Column and row of each cell of a grid, row by row."""
    return [(column, row) for row in range(SIDE // stride) for column in range(SIDE // stride)]


def yolox(path, decoded=False, columns=6, inputs=IMAGE, name="output"):
    """Each 8 x 8 cell is a person, as sure as the cell is red (the last plane of BGR), whose box is 16 pixels wide.

    The cells of the two coarser grids are never sure.
    """
    table = []
    for stride in (8, 16, 32):
        for column, row in cells(stride):
            box = [0.5, 0.5, np.log(16 / stride), np.log(24 / stride)]
            if decoded:
                box = [(column + 0.5) * stride, (row + 0.5) * stride, 16, 24]
            table.append([*box, 0, 1, *[0.5] * (columns - 6)])
    table = np.array(table, np.float32)[None]
    nodes = [
        node("Slice", "images two three one", "red"),
        node("AveragePool", "red", "means", kernel_shape=[8, 8], strides=[8, 8]),
        node("Div", "means full", "sure"),
        node("Reshape", "sure column", "sure_column"),
        node("Concat", "sure_column never", "objectness", axis=1),
        node("Concat", "before objectness after", name, axis=2),
    ]
    constants = {
        "one": np.array([1], np.int64), "two": np.array([2], np.int64), "three": np.array([3], np.int64),
        "full": np.array(255, np.float32), "column": np.array([1, -1, 1], np.int64),
        "never": np.zeros((1, 20, 1), np.float32), "before": table[..., :4], "after": table[..., 5:],
    }  # fmt: skip
    return save_graph(path, nodes, constants, inputs, {name: (FLOAT, [1, 84, columns])})


def quarters():
    """The four quarters of an image as x, y of the middle, width, height, in parts of it, row by row."""
    return np.array([[x, y, 0.5, 0.5] for y in (0.25, 0.75) for x in (0.25, 0.75)], np.float32)


def red_of_quarters(image):
    return [
        node("Slice", f"{image} zero one one", "red"),
        node("AveragePool", "red", "means", kernel_shape=[SIDE // 2, SIDE // 2], strides=[SIDE // 2, SIDE // 2]),
    ], {"zero": np.array([0], np.int64), "one": np.array([1], np.int64)}


def rt_detr(path):
    """Four queries, one for each quarter of the image; the third is no person. A person's score is how red it is."""
    nodes, constants = red_of_quarters("images")
    nodes += [
        node("Reshape", "means row", "scores"),
        node("Cast", "orig_target_sizes", "sizes", to=FLOAT),
        node("Concat", "sizes sizes", "sizes4", axis=1),
        node("Mul", "corners sizes4", "boxes"),
        node("Identity", "classes", "labels"),
    ]
    middles, half = quarters()[:, :2], 0.25
    constants |= {
        "row": np.array([1, -1], np.int64),
        "corners": np.concatenate([middles - half, middles + half], axis=1).astype(np.float32)[None],
        "classes": np.array([[0, 0, 1, 0]], np.int64),
    }
    inputs = IMAGE | {"orig_target_sizes": (TensorProto.INT64, [1, 2])}
    outputs = {
        "labels": (TensorProto.INT64, [1, 4]), "boxes": (FLOAT, [1, 4, 4]), "scores": (FLOAT, [1, 4]),
    }  # fmt: skip
    return save_graph(path, nodes, constants, inputs, outputs)


def hugging_face(path, classes=80, sides=(SIDE, SIDE)):
    """Four queries, one for each quarter; the logit of a person is its mean red, the others' are high."""
    nodes, constants = red_of_quarters("pixel_values")
    nodes += [
        node("Reshape", "means column", "persons"),
        node("Concat", "persons others", "logits", axis=2),
        node("Identity", "quarters", "pred_boxes"),
    ]
    constants |= {
        "column": np.array([1, -1, 1], np.int64),
        "others": np.full((1, 4, classes - 1), 9, np.float32),
        "quarters": quarters()[None],
    }
    inputs = {"pixel_values": (FLOAT, ["batch", 3, *sides])}
    return save_graph(
        path, nodes, constants, inputs, {"logits": (FLOAT, [1, 4, classes]), "pred_boxes": (FLOAT, [1, 4, 4])}
    )


def picodet(path, classes=1):
    """The four quarters of the image as corners in input pixels; a person's score is the quarter's normalized red."""
    nodes, constants = red_of_quarters("image")
    nodes += [node("Reshape", "means row", "persons"), node("Identity", "corners", "boxes")]
    if classes > 1:
        nodes.append(node("Concat", "persons others", "scores", axis=1))
    else:
        nodes.append(node("Identity", "persons", "scores"))
    middles, half = quarters()[:, :2], 0.25
    constants |= {
        "row": np.array([1, 1, 4], np.int64),
        "others": np.full((1, max(classes - 1, 1), 4), 9, np.float32),
        "corners": (np.concatenate([middles - half, middles + half], axis=1) * SIDE).astype(np.float32)[None],
    }
    outputs = {"boxes": (FLOAT, [1, 4, 4]), "scores": (FLOAT, [1, classes, 4])}
    return save_graph(path, nodes, constants, {"image": IMAGE["images"]}, outputs)


def detect(path, image, threshold=0.3):
    return OnnxDetector(open_session(path, threads=1), path, threshold)(Photo(image))


def red_at(x, y, side, red=255, size=(SIDE, SIDE)):
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[y : y + side, x : x + side, 0] = red
    return image


@pytest.mark.parametrize("decoded", [False, True])
@pytest.mark.parametrize("columns", [6, 85])
def test_yolox(tmp_path, decoded, columns):
    boxes = detect(yolox(tmp_path / "yolox.onnx", decoded, columns), red_at(16, 40, 8, red=204))
    np.testing.assert_allclose(boxes.boxes, [[20 - 8, 44 - 12, 20 + 8, 44 + 12]], rtol=1e-6)
    np.testing.assert_allclose(boxes.scores, [0.8], rtol=1e-6)


def test_yolox_fits_the_image_into_the_top_left_corner_on_gray(tmp_path):
    """An image of 32 x 16 pixels is enlarged twice; gray below it scores 114 / 255."""
    image = red_at(8, 4, 4, size=(32, 16))
    path = yolox(tmp_path / "yolox.onnx")
    np.testing.assert_allclose(detect(path, image, 0.5).boxes, [[10 - 4, 6 - 6, 10 + 4, 6 + 6]], atol=1e-5)
    everything = detect(path, image, 0.4)
    assert len(everything) == 1 + 8 * 4
    np.testing.assert_allclose(everything.scores[1:], 114 / 255, rtol=1e-5)


@pytest.mark.parametrize(("columns_apart", "found"), [(1, 1), (2, 2)])
def test_yolox_suppresses_boxes_of_the_same_person(tmp_path, monkeypatch, columns_apart, found):
    """Boxes of 16 x 24, eight pixels apart, have an IoU of 1/3."""
    monkeypatch.setattr("everypose.inference.onnx_detectors.Yolox.NMS", 0.3)
    image = red_at(16, 40, 8) + red_at(16 + 8 * columns_apart, 40, 8, red=200)
    assert len(detect(yolox(tmp_path / "yolox.onnx"), image)) == found


def test_rt_detr(tmp_path):
    image = red_at(0, 0, 32, red=102) + red_at(32, 32, 32) + red_at(0, 32, 32)
    boxes = detect(rt_detr(tmp_path / "rt_detr.onnx"), image)
    np.testing.assert_allclose(boxes.boxes, [[0, 0, 32, 32], [32, 32, 64, 64]])
    np.testing.assert_allclose(boxes.scores, [0.4, 1], rtol=1e-4)


def test_rt_detr_sees_the_whole_image_stretched(tmp_path):
    image = np.zeros((30, 200, 3), np.uint8)
    image[15:, 100:, 0] = 255
    np.testing.assert_allclose(detect(rt_detr(tmp_path / "rt_detr.onnx"), image).boxes, [[100, 15, 200, 30]])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_hugging_faces_rt_detr(tmp_path):
    image = np.zeros((40, 80, 3), np.uint8)
    image[20:, :40, 0] = 255
    boxes = detect(hugging_face(tmp_path / "model.onnx"), image, 0.6)
    np.testing.assert_allclose(boxes.boxes, [[0, 20, 40, 40]])
    np.testing.assert_allclose(boxes.scores, [sigmoid(1)], rtol=1e-2)  # resizing blurs the edges
    assert len(detect(tmp_path / "model.onnx", image, 0.4)) == 4  # the logits of black are 0


@pytest.mark.parametrize("folder", [".", "onnx"])
@pytest.mark.parametrize("normalize", [False, True])
def test_hugging_faces_configuration_says_whether_to_normalize(tmp_path, folder, normalize):
    values = {"do_normalize": normalize, "image_mean": [0.5, 0, 0], "image_std": [0.25, 1, 1]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(values))
    (tmp_path / folder).mkdir(exist_ok=True)
    path = hugging_face(tmp_path / folder / "model.onnx")
    scores = detect(path, red_at(0, 0, 32), 0.0).scores
    np.testing.assert_allclose(scores, sigmoid(np.array([2, -2, -2, -2] if normalize else [1, 0, 0, 0])), rtol=1e-6)


def test_a_size_that_the_file_leaves_open_is_in_the_configuration(tmp_path):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": {"height": SIDE, "width": SIDE}}))
    path = hugging_face(tmp_path / "model.onnx", sides=("height", "width"))
    np.testing.assert_allclose(detect(path, red_at(32, 0, 32), 0.6).boxes, [[32, 0, 64, 32]])


def test_a_configuration_that_cannot_be_understood_is_one_line(tmp_path):
    path = hugging_face(tmp_path / "model.onnx")
    for content in (
        "[]",
        '{"size": 640}',
        '{"do_normalize": true}',
        '{"do_normalize": true, "image_mean": [1], "image_std": [1]}',
    ):
        (tmp_path / "preprocessor_config.json").write_text(content)
        with pytest.raises(EveryposeError, match=r"preprocessor_config\.json does not say how images are prepared"):
            detect(path, red_at(0, 0, 32))


@pytest.mark.parametrize("classes", [1, 80])
def test_picodet(tmp_path, classes):
    """Red is normalized by ImageNet's mean and standard deviation; corners are scaled to the image."""
    image = red_at(50, 0, 50, red=180, size=(100, 40))
    boxes = detect(picodet(tmp_path / "picodet.onnx", classes), image)
    np.testing.assert_allclose(boxes.boxes, [[50, 0, 100, 20], [50, 20, 100, 40]], rtol=1e-6)
    np.testing.assert_allclose(boxes.scores, [(180 / 255 - 0.485) / 0.229] * 2, rtol=0.05)


@given(data=st.data())
def test_picodet_suppresses_as_the_reference(data):
    """OpenCV's own suppression on x, y, width, height, as the published pipeline uses it."""
    count = data.draw(st.integers(0, 60))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    corners = rng.uniform(0, 300, (1, count, 4)).astype(np.float32)
    corners[..., 2:] = corners[..., :2] + rng.uniform(20, 120, (1, count, 2))
    scores = rng.uniform(0, 1, (1, 1, count)).astype(np.float32)
    found = PicoDet("image", (416, 416)).boxes({"boxes": corners, "scores": scores}, (640, 480), 0.3)
    above = scores[0, 0] > 0.3
    expected = corners[0][above] * np.array([640, 480, 640, 480]) / 416
    sized = np.concatenate([expected[:, :2], expected[:, 2:] - expected[:, :2]], axis=1)
    best = np.array(cv2.dnn.NMSBoxes(sized.tolist(), scores[0, 0][above].tolist(), 0.3, 0.6), int).ravel()
    np.testing.assert_allclose(found.boxes, expected[best], atol=1e-4)
    np.testing.assert_array_equal(found.scores, scores[0, 0][above][best])


def test_picodet_gives_a_hundred_boxes_at_most():
    grid = np.stack(np.meshgrid(np.arange(12.0), np.arange(12.0)), axis=-1).reshape(-1, 2)
    boxes = np.concatenate([grid * 10, grid * 10 + 9], axis=1)[None]
    found = PicoDet("image", (416, 416)).boxes(
        {"boxes": boxes, "scores": np.linspace(0.5, 0.9, 144)[None, None]}, (416, 416), 0.3
    )
    assert len(found) == 100
    assert found.scores.min() > 0.5 + 0.4 * 43 / 144


@pytest.mark.parametrize("classes", [91, 92])
def test_detr_whose_people_have_another_number_is_refused(tmp_path, classes):
    with pytest.raises(EveryposeError, match=f"detr.onnx cannot be used: it has {classes} classes"):
        detect(hugging_face(tmp_path / "detr.onnx", classes), red_at(0, 0, 32))


def test_a_table_of_another_size_is_refused(tmp_path):
    path = yolox(tmp_path / "yolo.onnx", inputs={"images": (FLOAT, [1, 3, "height", "width"])})
    with pytest.raises(EveryposeError, match=r"640 x 640 pixels gives 8400 boxes|failed on images"):
        detect(path, red_at(0, 0, 32))
    five = save_graph(
        tmp_path / "five.onnx",
        [node("ReduceMax", "images", "most", axes=[1, 2, 3], keepdims=0), node("Mul", "most zeros", "output")],
        {"zeros": np.zeros((1, 84, 5), np.float32)},
        IMAGE,
        {"output": (FLOAT, [1, 84, 5])},
    )
    with pytest.raises(EveryposeError, match=r"five\.onnx cannot be used: it gives 84 x 5 numbers, where a YOLOX"):
        detect(five, red_at(0, 0, 32))


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ({"x": (FLOAT, [1])}, {"y": (FLOAT, [1])}),
        ({"images": (FLOAT, [1, 3, 64, 64])}, {"y": (FLOAT, [1, 3, 64, 64])}),
        ({"pixel_values": (FLOAT, [1, 3, 64, 64]), "pixel_mask": (FLOAT, [1])}, {"logits": (FLOAT, [1, 3, 64, 64])}),
        ({"images": (TensorProto.FLOAT16, [1, 3, 64, 64])}, {"y": (TensorProto.FLOAT16, [1, 84, 6])}),
    ],
    ids=["numbers", "image to image", "detr", "half precision"],
)
def test_other_files_are_refused_in_one_line(tmp_path, inputs, outputs):
    first, (result, (kind, shape)) = next(iter(inputs)), next(iter(outputs.items()))
    nodes, constants = [node("Identity", first, result)], {}
    if len(shape) == 3:
        nodes, constants = [node("Mul", f"{first}_sum zeros", result)], {"zeros": np.zeros(shape, np.float16)}
        nodes.insert(0, node("ReduceMax", first, f"{first}_sum", axes=[1, 2, 3]))
    path = save_graph(tmp_path / "other.onnx", nodes, constants, inputs, {result: (kind, shape)})
    with pytest.raises(EveryposeError, match=r"other\.onnx is not a detector that is known: its inputs") as caught:
        detect(path, red_at(0, 0, 32))
    assert "\n" not in str(caught.value)


def constant_file(path, image, outputs):
    """A file whose outputs are 0.5 everywhere, whatever the image of the given name and shape."""
    name, shape = image
    constants = {f"all_{output}": np.full(size, 0.5, np.float32) for output, size in outputs.items()}
    nodes = [node("Identity", f"all_{output}", output) for output in outputs]
    declared = {output: (FLOAT, size) for output, size in outputs.items()}
    return save_graph(path, nodes, constants, {name: (FLOAT, shape)}, declared)


@pytest.mark.parametrize(
    ("image", "outputs"),
    [
        ("pixel_values", {"logits": [1, 2, 80], "pred_boxes": [1, 2, 4]}),
        ("image", {"boxes": [1, 3, 4], "scores": [1, 80, 3]}),
        ("input", {"dets": [1, 3, 4], "labels": [1, 3, 91]}),
    ],
)
def test_a_file_whose_input_is_no_image_is_refused(tmp_path, image, outputs):
    path = constant_file(tmp_path / "flat.onnx", (image, [1, 3]), outputs)
    with pytest.raises(EveryposeError, match=r"flat\.onnx is not a detector that is known"):
        detect(path, red_at(0, 0, 32))


@pytest.mark.parametrize(
    ("image", "outputs"),
    [
        ("pixel_values", {"logits": [1, 2, 80], "pred_boxes": [1, 3, 4]}),
        ("pixel_values", {"logits": [1, 2, 80], "pred_boxes": [1, 2, 5]}),
        ("pixel_values", {"logits": [1, 2], "pred_boxes": [1, 2, 4]}),
        ("image", {"boxes": [1, 3, 4], "scores": [1, 80, 2]}),
        ("input", {"dets": [1, 3, 4], "labels": [1, 2, 91]}),
    ],
)
def test_outputs_that_do_not_belong_together_are_one_line(tmp_path, image, outputs):
    path = constant_file(tmp_path / "odd.onnx", (image, [1, 3, SIDE, SIDE]), outputs)
    shapes = ", ".join(f"{name} {tuple(shape)}" for name, shape in outputs.items())
    with pytest.raises(EveryposeError, match=re.escape(f"do not belong together ({shapes})")):
        detect(path, red_at(0, 0, 32))


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (3, 40_000)], ids=str)
@pytest.mark.parametrize("write", [yolox, rt_detr, hugging_face, picodet])
def test_odd_shapes_work(tmp_path, write, shape):
    boxes = detect(write(tmp_path / "model.onnx"), np.full((*shape, 3), 255, np.uint8))
    assert len(boxes) > 0
    assert np.isfinite(boxes.boxes).all()


def rf_detr(path, batch=1):
    """RF-DETR's outputs for the four quarters: people (class 1) where the mean red, after normalization, is high."""
    nodes = [
        node("Slice", "input zero one one", "red"),
        node("AveragePool", "red", "means", kernel_shape=[SIDE // 2] * 2, strides=[SIDE // 2] * 2),
        node("Reshape", "means column", "sure"),
        node("Concat", "sure sure sure", "three", axis=2),
        node("Mul", "three weights", "labels"),
        node("Mul", "sure nothing", "zeros"),
        node("Add", "zeros boxes", "dets"),
    ]
    constants = {
        "zero": np.array([0], np.int64), "one": np.array([1], np.int64), "column": np.array([-1, 4, 1], np.int64),
        "weights": np.array([[[100, 2, -1]]], np.float32), "nothing": np.zeros((1, 1, 4), np.float32),
        "boxes": np.array(quarters(), np.float32)[None],
    }  # fmt: skip
    outputs = {"dets": (FLOAT, [batch, 4, 4]), "labels": (FLOAT, [batch, 4, 3])}
    return save_graph(path, nodes, constants, {"input": (FLOAT, [batch, 3, SIDE, SIDE])}, outputs)


@pytest.mark.parametrize("batch", [1, "batch"])
def test_rf_detr_counts_classes_from_1(tmp_path, batch):
    file = rf_detr(tmp_path / "rf.onnx", batch)
    detector = OnnxDetector(open_session(file, 1), file)
    image = np.zeros((80, 120, 3), np.uint8)
    image[:40, 60:, 0] = 255
    (box,) = detector(Photo(image)).boxes
    assert box == pytest.approx([60, 0, 120, 40], abs=1e-3)
    normalized = (1 - 0.485) / 0.229
    assert detector(Photo(image)).scores == pytest.approx([sigmoid(2 * normalized)], abs=1e-5)
    both = detector.detect_batch([Photo(image), Photo(image[:, ::-1].copy()), Photo(np.zeros_like(image))])
    assert [len(found) for found in both] == [1, 1, 0]
    assert both[1].boxes[0] == pytest.approx([0, 0, 60, 40], abs=1e-3)


def test_the_configuration_says_which_class_people_are(tmp_path):
    file = hugging_face(tmp_path / "model.onnx", 91)
    labels = {"0": "N/A", "1": "person"}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "rf_detr", "id2label": labels}))
    OnnxDetector(open_session(file, 1), file)(Photo(np.zeros((64, 64, 3), np.uint8)))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "detr", "id2label": labels}))
    with pytest.raises(EveryposeError, match="91 classes"):
        OnnxDetector(open_session(file, 1), file)(Photo(np.zeros((64, 64, 3), np.uint8)))
