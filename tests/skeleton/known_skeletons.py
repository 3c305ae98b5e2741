"""The known skeletons and their numbers of keypoints; categories of COCO files."""

KEYPOINTS = {
    "aic": 14,
    "ap10k": 17,
    "apt36k": 17,
    "coco": 17,
    "coco_25": 25,
    "coco_wholebody": 133,
    "crowdpose": 14,
    "halpe": 136,
    "halpe26": 26,
    "interhand2d": 21,
    "interhand3d": 42,
    "jhmdb": 15,
    "mpii": 16,
    "ochuman": 17,
    "posetrack18": 17,
    "pw3d": 24,
}


def category(name, keypoints, skeleton=()):
    return {"id": 1, "name": name, "keypoints": list(keypoints), "skeleton": [list(link) for link in skeleton]}
