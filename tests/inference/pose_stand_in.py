"""A refinement model that needs no training: it moves every given keypoint, and keeps what it was given."""

import numpy as np

from everypose.methods.posefix.settings import PoseFixSettings, RefinementInference
from everypose.models.config import ModelConfig
from everypose.skeleton.skeleton import Skeleton

COCO = Skeleton.named("coco")


def refiner_config(**inference) -> ModelConfig:
    return ModelConfig(
        name="pose stand-in",
        network=PoseFixSettings(),
        skeleton=COCO,
        inference=RefinementInference(**({"crop_size": (48, 64)} | inference)),
    )


class PoseStandIn:
    """Moves keypoints by ``move`` crop pixels; those that are not given come to ``move``, as they are at 0."""

    def __init__(self, move=(1.0, -2.0)):
        self.move = np.array(move, np.float32)
        self.crops, self.poses = [], []

    def run(self, crops, poses):
        self.crops.append(crops)
        self.poses.append(poses)
        return poses[..., :2] + self.move
