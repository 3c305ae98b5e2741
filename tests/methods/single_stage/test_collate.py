import numpy as np

from everypose.methods.single_stage.augmentation import ImageDraws, draw
from everypose.methods.single_stage.samples import collate, make_sample
from everypose.methods.single_stage.settings import ImageAugmentation, ImageSampleSettings
from methods.single_stage.made import COCO, random_image, random_scene

ALL = ImageSampleSettings(size=64, minimum_area=0.0)


def test_collate_flattens_in_order() -> None:
    rng = np.random.default_rng(3)
    samples = []
    for people in (4, 0, 6):
        scene = random_scene(rng, people)
        samples.append(
            make_sample(scene, random_image(rng, scene), COCO, ALL, draws=draw(rng, ImageAugmentation(), scene))
        )
    batch = collate(samples, rng)
    assert batch.images.shape == (3, 64, 64, 3)
    assert batch.loss_mask.shape == (3, 1, 16, 16)
    assert batch.keys == ("photo.jpg",) * 3
    for number, sample in enumerate(samples):
        people = batch.person_image == number
        instances = batch.instance_image == number
        np.testing.assert_array_equal(batch.keypoints[people], sample.keypoints)
        np.testing.assert_array_equal(batch.center[people], sample.center)
        np.testing.assert_array_equal(batch.instance_yx[instances], sample.instance_yx)
        np.testing.assert_array_equal(
            batch.keypoints[batch.instance_person[instances]], sample.keypoints[sample.instance_person]
        )
    assert batch.most_instances == max(len(sample.instance_person) for sample in samples)


def test_collate_limits_instances() -> None:
    rng = np.random.default_rng(4)
    scene = random_scene(rng, 12, width=64, height=64)
    samples = [make_sample(scene, random_image(rng, scene), COCO, ALL, draws=ImageDraws())] * 5
    everyone = collate(samples, rng)
    batch = collate(samples, rng, most_instances=7)
    assert len(batch.instance_yx) == 7
    assert len(batch.radius) == len(everyone.radius)  # all people stay in the multi heatmap
    rows = list(zip(everyone.instance_image, everyone.instance_person, strict=True))
    places = [rows.index(row) for row in zip(batch.instance_image, batch.instance_person, strict=True)]
    assert places == sorted(places)
    np.testing.assert_array_equal(batch.instance_boxes, everyone.instance_boxes[places])
