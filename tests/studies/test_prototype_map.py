"""The picture of the learned space."""

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from everypose.cli.main import app
from everypose.errors import UsageError
from everypose.models.skeleton_choice import select_skeleton
from everypose.models.storage import save_model
from everypose.skeleton.skeleton import Skeleton
from everypose.studies.prototype_map import GRAY, Joint, color_of, joint_of, plane_of, prototype_picture, shared_parts
from models.test_skeleton_choice import tiny  # type: ignore[attr-defined]

SKELETONS = {name: Skeleton.named(name) for name in ("coco", "mpii", "ap10k")}


def unit(rng, *shape):
    values = rng.standard_normal(shape)
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def test_the_plane_is_that_of_the_projections_whatever_the_signs():
    rng = np.random.default_rng(0)
    vectors = unit(rng, 30, 5)
    points, shares = plane_of(vectors)
    flipped, _ = plane_of(vectors * rng.choice([-1, 1], (30, 1)))
    np.testing.assert_allclose(np.abs(flipped), np.abs(points), atol=1e-9)
    projections = np.stack([np.outer(vector, vector).ravel() for vector in vectors])
    values, axes = np.linalg.eigh(np.cov(projections.T, bias=True))
    centered = projections - projections.mean(axis=0)
    np.testing.assert_allclose(np.abs(points), np.abs(centered @ axes[:, [-1, -2]]), atol=1e-9)
    np.testing.assert_allclose(shares, values[[-1, -2]] / values.sum())


def test_a_joint_has_one_color_in_all_sets():
    parts = shared_parts(SKELETONS)
    assert parts[:1] == ["shoulder"] or "shoulder" in parts
    assert color_of(joint_of("left_shoulder"), parts) == color_of(joint_of("L_Shoulder"), parts) != GRAY
    assert color_of(joint_of("left_shoulder"), parts) != color_of(joint_of("right_shoulder"), parts)
    assert joint_of("upper_neck") == joint_of("neck") == Joint("", "neck")
    assert color_of(Joint("", "antenna"), parts) == GRAY
    colors = [color_of(Joint(side, part), parts) for part in parts for side in ("left", "right")]
    assert len(set(colors)) == len(colors)


def test_the_picture_has_every_prototype():
    bank = unit(np.random.default_rng(1), 17 + 16 + 17, 3, 8)
    picture = prototype_picture(bank, SKELETONS)
    parts = shared_parts(SKELETONS)
    plot = picture[:, :1200]
    for name in ("left_wrist", "right_ankle"):
        assert (plot == color_of(joint_of(name), parts)).all(axis=2).sum() > 50
    with pytest.raises(UsageError, match="prototypes of 49 keypoints, but the skeletons have 50"):
        prototype_picture(bank[:-1], SKELETONS)


def test_the_command_draws_a_model_and_refuses_others(tmp_path):
    save_model(*tiny(), tmp_path / "model")  # type: ignore[call-arg]
    done = CliRunner().invoke(app, ["prototypes", str(tmp_path / "model"), "-o", str(tmp_path / "out.png")])
    assert done.exit_code == 0, done.output
    assert done.output.strip().endswith("out.png: 47 keypoints of 3 data sets, 3 prototypes each")
    assert cv2.imread(str(tmp_path / "out.png")).shape == (1200, 1660, 3)
    save_model(*select_skeleton(*tiny(), "coco"), tmp_path / "plain")  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="has no prototypes: it is not a PoseBH model"):
        CliRunner().invoke(app, ["prototypes", str(tmp_path / "plain")], catch_exceptions=False)
    with pytest.raises(UsageError, match="is an ONNX file, which has no prototypes"):
        CliRunner().invoke(app, ["prototypes", "boir-lite"], catch_exceptions=False)
