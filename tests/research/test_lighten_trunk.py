"""Published weights in the lighter trunk: what they give is nearly what they gave."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from research.boir_lite.lighten_trunk import fit_elu, lighten, main
from safetensors.torch import load_file

from everypose.backbones.openpose_light import Trunk
from everypose.training.initial_weights import make_network
from everypose.training.recipe_files import load_recipe
from published_openpose import published_trunk, their_name


def test_an_elu_that_is_never_bent_is_kept() -> None:
    x = torch.rand(4, 1000) + 0.1
    scale, move, drop = fit_elu(x)
    torch.testing.assert_close(scale[:, None] * F.relu(x + move[:, None]) - drop[:, None], x)


@torch.no_grad()
def test_a_relu_is_moved_to_be_like_an_elu() -> None:
    x = torch.randn(4, 10_000, generator=torch.Generator().manual_seed(0))
    scale, move, drop = (value[:, None] for value in fit_elu(x))
    left = (scale * F.relu(x + move) - drop - F.elu(x)).var(1)
    assert (left < 0.01 * F.elu(x).var(1)).all()
    # A ReLU where it is loses six times as much.
    assert (left < (F.relu(x) - F.elu(x)).var(1) / 6).all()


@torch.no_grad()
def test_the_lighter_trunk_gives_nearly_the_same() -> None:
    published = published_trunk()
    generator = torch.Generator().manual_seed(1)
    images = [128 * torch.randn(1, 3, 128, 128, generator=generator) for _ in range(4)]
    weights, kept = lighten(published.state_dict(), images)
    lighter = Trunk().eval()
    lighter.load_state_dict(weights)
    assert kept > 0.95
    for image in images:
        # At the border, zeros stand for what was 0 before it was moved.
        theirs, ours = (network(image)[1][..., 4:-4, 4:-4] for network in (published, lighter))
        assert (ours - theirs).var() < 0.1 * theirs.var()


def test_a_file_is_written_that_a_backbone_can_start_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "trunk.npz", **{their_name(k): v.numpy() for k, v in published_trunk().state_dict().items()})
    noise = np.random.default_rng(0).integers(0, 256, (384, 384, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    out = tmp_path / "lighter.safetensors"
    monkeypatch.setattr(sys, "argv", ["lighten", str(tmp_path / "trunk.npz"), str(out), str(tmp_path / "photo.png")])
    main()
    assert "% of what it gave" in capsys.readouterr().out
    settings = [f"start.backbone={json.dumps(str(out))}", "data.skeleton=coco"]
    backbone = make_network(load_recipe("boir-lite-start", settings), 17).backbone.state_dict()
    written = load_file(out)
    assert set(written) == {name for name in backbone if name.startswith("trunk.")}
    assert all(torch.equal(value, backbone[name]) for name, value in written.items())


def test_what_cannot_be_fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "other.npz", other=np.zeros(3))
    np.savez(tmp_path / "trunk.npz", **{their_name(k): v.numpy() for k, v in published_trunk().state_dict().items()})
    for source, out, words in (("other", "o.safetensors", "as published"), ("trunk", "o.npz", "safetensors file")):
        monkeypatch.setattr(sys, "argv", ["lighten", str(tmp_path / f"{source}.npz"), str(tmp_path / out), "photo.jpg"])
        with pytest.raises(SystemExit):
            main()
        assert words in capsys.readouterr().err
