"""Decoders against recorded ones, literal twins, and what comes out where there is nothing."""

from functools import partial

import cv2
import numpy as np
import pytest
import torch

from everypose.core.geometry import inverse, transform
from everypose.methods.top_down.crops import crop_matrix
from everypose.methods.top_down.decoding import decode
from golden_vectors import load

SIZE = (192, 256)


def in_image(keypoints, center, scale, convention="classic"):
    return transform(keypoints[..., :2], inverse(crop_matrix(center, 200 * scale, SIZE, 0.0, convention)))


def test_quarter_offset_equals_the_release():
    golden = load("mipnet/decoding")
    keypoints = decode(torch.from_numpy(golden["heatmaps"]), "quarter", SIZE).numpy()[0]
    np.testing.assert_array_equal(keypoints[:, :2] / 4, golden["final_xy_heatmap_quarter"][0])
    np.testing.assert_array_equal(keypoints[:, 2], golden["maxvals"][0, :, 0])
    theirs = golden["final_xy_image_quarter"][0]
    np.testing.assert_allclose(in_image(keypoints, golden["center"][0], golden["scale"][0]), theirs, atol=1e-4)


def test_dark_equals_the_release():
    golden = load("mipnet/decoding")
    keypoints = decode(torch.from_numpy(golden["dark_heatmaps_in"]), "dark", SIZE).numpy()[0]
    np.testing.assert_allclose(keypoints[:, :2] / 4, golden["dark_final_xy_heatmap"][0], atol=1e-5)
    np.testing.assert_array_equal(keypoints[:, 2], golden["dark_maxvals"][0, :, 0])
    # Recorded with the second of the crops.
    theirs = golden["dark_final_xy_image"][0]
    np.testing.assert_allclose(in_image(keypoints, golden["center"][1], golden["scale"][1]), theirs, atol=1e-4)


def test_vitposes_decoders_equal_the_release():
    golden = load("posebh/crops")
    heatmaps = torch.from_numpy(golden["dec_heatmaps"])
    found = golden["dec_maxval"][..., 0] > 0
    # Four maps are noise, where the Hessian is nearly singular and the move many cells. What was recorded, in single
    # precision, is itself 0.007 cells from the exact result there.
    smooth = found & (np.abs(golden["dec_dark_udp_heatmap_px"] - golden["dec_argmax"]).max(axis=-1) < 3)
    udp = decode(heatmaps, "udp", SIZE).numpy()
    cells = udp[..., :2] / np.array([191 / 47, 255 / 63])
    assert smooth.sum() == found.sum() - 4
    np.testing.assert_allclose(cells[smooth], golden["dec_dark_udp_heatmap_px"][smooth], atol=1e-4)
    np.testing.assert_allclose(cells[found], golden["dec_dark_udp_heatmap_px"][found], atol=0.01)
    for at in zip(*np.nonzero(found & ~smooth), strict=True):
        x, y = golden["dec_argmax"][at].astype(int)
        exact = np.add((x, y), literal_dark_udp(golden["dec_heatmaps"][at].astype(np.float64), x, y))
        double = decode(heatmaps[at].double(), "udp", SIZE).numpy()[:2] / np.array([191 / 47, 255 / 63])
        np.testing.assert_allclose(double, exact, atol=1e-7)
    np.testing.assert_array_equal(udp[..., 2], golden["dec_udp_maxvals"][..., 0])
    classic = decode(heatmaps, "quarter", SIZE).numpy()
    np.testing.assert_array_equal(classic[..., 2], golden["dec_default_maxvals"][..., 0])
    for i in range(2):
        region = golden["dec_center"][i], golden["dec_scale"][i]
        ours = in_image(udp[i], *region, "udp")[smooth[i]]
        np.testing.assert_allclose(ours, golden["dec_udp_preds"][i][smooth[i]], atol=1e-3)
        ours = in_image(classic[i], *region)[found[i]]
        np.testing.assert_allclose(ours, golden["dec_default_preds"][i][found[i]], atol=1e-4)


def literal_quarter(heatmap, x, y):
    height, width = heatmap.shape
    if not (1 < x < width - 1 and 1 < y < height - 1):
        return 0.0, 0.0
    return (
        0.25 * np.sign(heatmap[y, x + 1] - heatmap[y, x - 1]),
        0.25 * np.sign(heatmap[y + 1, x] - heatmap[y - 1, x]),
    )


def literal_dark(heatmap, x, y, cells=11):
    """OpenCV chooses the sigma for a size, as in DARK's own code: 2.0 for 11 cells, 2.9 for 17."""
    height, width = heatmap.shape
    framed = cv2.GaussianBlur(np.pad(heatmap, 10), (cells, cells), 0)[10:-10, 10:-10]
    log = np.log(np.maximum(framed * heatmap.max() / framed.max(), 1e-10))
    if not (1 < x < width - 2 and 1 < y < height - 2):
        return 0.0, 0.0
    gradient = [(log[y, x + 1] - log[y, x - 1]) / 2, (log[y + 1, x] - log[y - 1, x]) / 2]
    xx = (log[y, x + 2] - 2 * log[y, x] + log[y, x - 2]) / 4
    yy = (log[y + 2, x] - 2 * log[y, x] + log[y - 2, x]) / 4
    xy = (log[y + 1, x + 1] - log[y - 1, x + 1] - log[y + 1, x - 1] + log[y - 1, x - 1]) / 4
    if xx * yy - xy**2 == 0:
        return 0.0, 0.0
    return -np.linalg.inv([[xx, xy], [xy, yy]]) @ gradient


def literal_dark_udp(heatmap, x, y):
    blurred = cv2.GaussianBlur(heatmap, (11, 11), 2.0, borderType=cv2.BORDER_REFLECT_101)
    log = np.pad(np.log(blurred.clip(0.001, 50)), 1, mode="edge")
    x, y = x + 1, y + 1
    gradient = [(log[y, x + 1] - log[y, x - 1]) / 2, (log[y + 1, x] - log[y - 1, x]) / 2]
    xx = log[y, x + 1] - 2 * log[y, x] + log[y, x - 1]
    yy = log[y + 1, x] - 2 * log[y, x] + log[y - 1, x]
    xy = (
        log[y + 1, x + 1] - log[y, x + 1] - log[y + 1, x] + 2 * log[y, x]
        - log[y, x - 1] - log[y - 1, x] + log[y - 1, x - 1]
    ) / 2  # fmt: skip
    return -np.linalg.inv(np.array([[xx, xy], [xy, yy]]) + np.finfo(np.float32).eps * np.eye(2)) @ gradient


TWINS = {
    "quarter": literal_quarter,
    "dark": literal_dark,
    "dark-17": partial(literal_dark, cells=17),
    "udp": literal_dark_udp,
}


def some_heatmaps(height=24, width=18):
    """Smooth bumps with one peak each, some of them at and next to the border: (3, 5, h, w) float64."""
    rows, columns = np.mgrid[:height, :width]
    rng = np.random.default_rng(0)
    peaks = rng.uniform(-1, 1, (15, 2)) + np.array(
        [(0, 0), (1, 1), (2, 2), (width - 1, height - 1), (width - 2, height - 3), *rng.uniform(3, 14, (10, 2))]
    )
    bumps = [
        np.exp(-((columns - x) ** 2 / 6 + (rows - y) ** 2 / 9 + (columns - x) * (rows - y) / 20)) for x, y in peaks
    ]
    noise = rng.uniform(0, 0.02, (15, height, width))
    return (np.stack(bumps) + noise).reshape(3, 5, height, width)


@pytest.mark.parametrize("decoder", TWINS)
def test_decoders_equal_their_literal_twins(decoder):
    heatmaps = some_heatmaps()
    ours = decode(torch.from_numpy(heatmaps), decoder, (72, 96)).numpy()
    for at in np.ndindex(3, 5):
        heatmap = heatmaps[at]
        y, x = divmod(int(heatmap.argmax()), heatmap.shape[1])
        dx, dy = TWINS[decoder](heatmap, x, y)
        scale = np.array([71 / 17, 95 / 23]) if decoder == "udp" else np.array([4, 4])
        np.testing.assert_allclose(ours[at][:2], scale * (x + dx, y + dy), atol=1e-7)
        assert ours[at][2] == heatmap.max()


@pytest.mark.parametrize("decoder", ["dark", "dark-17", "udp"])
def test_dark_finds_the_peak_of_a_gaussian_between_cells(decoder):
    rows, columns = np.mgrid[:64, :48]
    heatmap = np.exp(-((columns - 20.3) ** 2 + (rows - 30.6) ** 2) / 8)
    keypoint = decode(torch.from_numpy(heatmap), decoder, SIZE).numpy()
    stride = np.array([191 / 47, 255 / 63]) if decoder == "udp" else np.array([4, 4])
    np.testing.assert_allclose(keypoint[:2], stride * (20.3, 30.6), atol=0.01)


@pytest.mark.parametrize("decoder", TWINS)
def test_a_map_without_a_positive_cell_has_found_nothing(decoder):
    heatmaps = torch.zeros(2, 3, 16, 12)
    heatmaps[0, 0] -= 0.5
    heatmaps[0, 0, 5, 5] = -0.25
    heatmaps[1, 2, 8, 6] = 1
    keypoints = decode(heatmaps, decoder, (48, 64))
    assert keypoints[0, 0].tolist() == [0, 0, -0.25]
    assert keypoints[1, 0].tolist() == [0, 0, 0]
    assert keypoints.isfinite().all()
    scale = (47 / 11, 63 / 15) if decoder == "udp" else (4, 4)
    assert keypoints[1, 2].tolist() == pytest.approx([6 * scale[0], 8 * scale[1], 1], abs=1e-4)


@pytest.mark.parametrize("decoder", TWINS)
def test_the_first_of_equal_peaks_is_taken_and_flat_maps_do_no_harm(decoder):
    flat = torch.full((1, 1, 16, 12), 0.5)
    keypoint = decode(flat, decoder, (48, 64))[0, 0]
    assert keypoint.isfinite().all()
    if decoder != "udp":
        assert keypoint.tolist() == [0, 0, 0.5]
    two = torch.zeros(16, 12)
    two[4, 3] = two[11, 8] = 1
    assert decode(two, "quarter", (48, 64)).tolist() == [12, 16, 1]


@pytest.mark.parametrize("decoder", ["dark", "udp"])
def test_mixed_precision_does_not_touch_the_decoding(decoder):
    heatmaps = torch.from_numpy(some_heatmaps()).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = decode(heatmaps, decoder, (72, 96))
    assert torch.equal(mixed, decode(heatmaps, decoder, (72, 96)))


@pytest.mark.parametrize("decoder", TWINS)
def test_no_maps(decoder):
    assert decode(torch.zeros(0, 1, 17, 16, 12), decoder, (48, 64)).shape == (0, 1, 17, 3)


@pytest.mark.parametrize("decoder", TWINS)
def test_a_batch_equals_its_maps_one_by_one(decoder):
    heatmaps = torch.from_numpy(some_heatmaps()).float()
    together = decode(heatmaps, decoder, (72, 96))
    alone = torch.stack([torch.stack([decode(one, decoder, (72, 96)) for one in person]) for person in heatmaps])
    assert torch.allclose(together, alone, atol=1e-4)


def test_dark_with_a_small_kernel_equals_the_published_pipeline():
    """PP-TinyPose's decoding, literally, with OpenCV's blur; it moves keypoints by at most two cells."""
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[:64, :48]
    centers = rng.uniform((4, 4), (44, 60), (40, 2))
    maps = np.exp(-((columns - centers[:, :1, None]) ** 2 + (rows - centers[:, 1:, None]) ** 2) / 8)
    maps = (maps + rng.uniform(0, 0.02, maps.shape)).astype(np.float32)
    found = decode(torch.from_numpy(maps), "dark-3", (192, 256)).numpy()
    for heatmap, (x, y, confidence) in zip(maps, found, strict=True):
        row, column = divmod(int(heatmap.argmax()), 48)
        log = np.log(np.maximum(cv2.GaussianBlur(heatmap, (3, 3), 0), 1e-10)).astype(np.float64)
        gradient = np.array([log[row, column + 1] - log[row, column - 1], log[row + 1, column] - log[row - 1, column]])
        xx = log[row, column + 2] - 2 * log[row, column] + log[row, column - 2]
        yy = log[row + 2, column] - 2 * log[row, column] + log[row - 2, column]
        xy = log[row + 1, column + 1] - log[row - 1, column + 1] - log[row + 1, column - 1] + log[row - 1, column - 1]
        move = -np.linalg.solve(np.array([[xx, xy], [xy, yy]]) / 4, gradient / 2)
        np.testing.assert_allclose([x, y], 4 * (np.array([column, row]) + move), atol=2e-3)
        assert confidence == heatmap.max()
