"""From crops to poses: the network, the flip test and decoding together, against the release's evaluation."""

import numpy as np
import torch

from everypose.core.geometry import inverse, transform
from everypose.methods.top_down.crops import crop_matrix
from everypose.methods.top_down.decoding import decode
from everypose.methods.top_down.graph import TopDownGraph
from everypose.skeleton.skeleton import Skeleton
from golden_vectors import load
from methods.mipnet.golden_networks import loaded, w8_state


def test_poses_equal_the_release() -> None:
    vectors = load("mipnet/hrnet_w8")
    graph = TopDownGraph(loaded(w8_state()), torch.from_numpy(Skeleton.named("coco").flip_index))
    crops, crop_size = torch.from_numpy(vectors["x"]), (96, 128)
    with torch.no_grad():
        # The recorded crops are normalized already.
        maps = graph.network.heatmaps(crops)
        mirrored = graph.mirrored_back(graph.network.heatmaps(crops.flip(3)))
        found = decode((maps + mirrored) / 2, "quarter", crop_size).double().numpy()
    for crop, (center, scale) in enumerate(zip(vectors["infer_center"], vectors["infer_scale"], strict=True)):
        to_image = inverse(crop_matrix(center, 200 * scale, crop_size))
        # The primary people are recorded after the second ones.
        for instance, first_row in ((0, 2), (1, 0)):
            recorded = vectors["infer_all_preds"][first_row + crop]
            xy = transform(found[crop, instance, :, :2], to_image)
            assert np.abs(xy - recorded[:, :2]).max() < 1e-3
            assert np.abs(found[crop, instance, :, 2] - recorded[:, 2]).max() < 1e-5
