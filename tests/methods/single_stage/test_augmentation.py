import numpy as np
import pytest

from everypose.methods.single_stage.augmentation import ImageDraws, draw, possible_reduction, recolor
from everypose.methods.single_stage.settings import ImageAugmentation
from methods.single_stage.made import make_scene


def test_draws_stay_in_range_and_repeat() -> None:
    scene = make_scene(np.zeros((3, 17, 3)), np.zeros((3, 4)), 300, 200)
    rng = np.random.default_rng(0)
    many = [draw(rng, ImageAugmentation(), scene) for _ in range(2000)]
    scales = np.array([each.scale for each in many])
    assert 0.75 <= scales.min() < 0.76
    assert 1.49 < scales.max() <= 1.5
    assert max(abs(each.rotation) for each in many) <= 30
    reach = np.array([max(abs(each.dx), abs(each.dy)) for each in many])
    assert (reach <= 40 * scales).all()
    assert (reach >= 40 * scales - 2).any()
    assert 0.45 < np.mean([each.flip for each in many]) < 0.55
    assert set(np.unique([each.jitter for each in many])) == {-1, 0, 1}
    assert all((each.brightness, each.contrast, each.saturation) == (0, 1, 1) for each in many)
    again = draw(np.random.default_rng(0), ImageAugmentation(), scene)
    assert (again.scale, again.dx) == (many[0].scale, many[0].dx)
    colors = draw(np.random.default_rng(0), ImageAugmentation(brightness=0.2, contrast=0.3, saturation=0.4), scene)
    assert (colors.scale, colors.dx) == (many[0].scale, many[0].dx)
    assert abs(colors.brightness) <= 0.2
    assert abs(colors.contrast - 1) <= 0.3
    assert abs(colors.saturation - 1) <= 0.4


@pytest.mark.parametrize(
    ("height", "width", "scale", "expected"),
    [
        (480, 640, 1.5, 1),
        (960, 1280, 1.06, 1),
        (960, 1280, 1.07, 2),
        (1080, 1920, 1.5, 2),
        (3000, 4000, 0.75, 4),
        (3000, 4002, 0.75, 2),
        (2999, 4000, 0.75, 1),
        (40, 40, 1.0, 1),
    ],
)
def test_images_are_reduced_no_further_than_samples_and_where_it_divides(height, width, scale, expected) -> None:
    assert possible_reduction(height, width, 512, ImageDraws(scale=scale)) == expected


def test_recolor() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    np.testing.assert_array_equal(recolor(image, ImageDraws()), image)
    brighter = recolor(image, ImageDraws(brightness=0.2)).astype(int)
    np.testing.assert_array_equal(brighter, np.minimum(255, image.astype(int) + 51))
    flat = recolor(image, ImageDraws(contrast=0.0))
    assert np.ptp(flat) == 0
    gray = recolor(image, ImageDraws(saturation=0.0)).astype(int)
    assert np.ptp(gray, axis=2).max() <= 1
