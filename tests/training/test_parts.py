import pickle
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch import nn

from everypose.errors import EveryposeError
from everypose.models import checkpoint_file
from everypose.training.checkpoints import Checkpoint, CheckpointClock
from everypose.training.ema import Ema
from everypose.training.guard import FiniteGuard, GradientGuard, finite_weights
from everypose.training.run_logs import _keep_lines


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def test_the_average_follows_the_literal_formula():
    net = network()
    ema = Ema(net, decay=0.7)
    literal = {name: value.clone() for name, value in net.state_dict().items()}
    for update in range(30):
        with torch.no_grad():
            for parameter in net.parameters():
                parameter += torch.randn_like(parameter)
        net(torch.randn(2, 3, 8, 8))
        ema.update()
        decay = min(0.7, (1 + update) / (10 + update))
        for name, value in net.state_dict().items():
            literal[name] = decay * literal[name] + (1 - decay) * value if value.is_floating_point() else value.clone()
    assert ema.updates == 30
    for name, value in literal.items():
        torch.testing.assert_close(ema.average[name], value)


def test_the_average_is_lent_to_the_network_and_taken_back():
    net = network()
    ema = Ema(net, decay=0.5)
    with torch.no_grad():
        net[0].weight.zero_()
    with ema.applied():
        assert net[0].weight.abs().sum() > 0
    assert net[0].weight.abs().sum() == 0


def checkpoint(**changes):
    net = network()
    fields = {
        "step": 3, "samples": 5, "global_batch": 2, "network": net.state_dict(), "precision": {}, "ema": None,
        "optimizer": torch.optim.AdamW(net.parameters()).state_dict(), "ema_updates": 0, "best_ap": None,
    }  # fmt: skip
    return Checkpoint(**fields | changes)


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    saved = checkpoint(best_ap=0.5)
    saved.save(tmp_path / "runs/last.ckpt")
    loaded = Checkpoint.load(tmp_path / "runs/last.ckpt")
    assert (loaded.step, loaded.samples, loaded.global_batch, loaded.best_ap) == (3, 5, 2, 0.5)
    assert all(torch.equal(loaded.network[name], value) for name, value in saved.network.items())
    assert loaded.optimizer["param_groups"] == saved.optimizer["param_groups"]


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    checkpoint().save(path)
    before = path.read_bytes()

    def full_disk(_, stream):
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(EveryposeError, match="No space left"):
        checkpoint(step=4).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the disk that is always full is Linux's")
def test_a_full_disk_shows_as_such(monkeypatch):
    """Written by name, torch would raise a RuntimeError about positions in the file."""
    monkeypatch.setattr(checkpoint_file, "written_whole", nullcontext)
    with pytest.raises(OSError, match="No space left"):
        checkpoint().save(Path("/dev/full"))


class Trap:
    def __reduce__(self):
        return exec, ("raise SystemExit('code was run')",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a checkpoint: it is empty"),
        (b"no checkpoint", "is not a checkpoint: it is a text file"),
        (pickle.dumps(Trap()), "is not a checkpoint that torch can read"),
    ],
)
def test_damaged_or_dangerous_files_are_refused(tmp_path, content, message):
    path = tmp_path / "last.ckpt"
    path.write_bytes(content)
    with pytest.raises(EveryposeError, match=rf"last\.ckpt {message}"):
        Checkpoint.load(path)


def test_a_truncated_checkpoint_and_a_foreign_one_are_refused(tmp_path):
    path = tmp_path / "last.ckpt"
    checkpoint().save(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(EveryposeError, match=r"last\.ckpt is not a checkpoint that torch can read: it is damaged"):
        Checkpoint.load(path)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(EveryposeError, match="is not a training checkpoint"):
        Checkpoint.load(path)


def test_checkpoints_are_due_by_steps_by_minutes_and_at_epoch_ends(monkeypatch):
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    clock = CheckpointClock(minutes=2, steps=5)
    assert [step for step in range(1, 11) if clock.due(step, epoch_ended=False)] == [5, 10]
    assert not clock.due(1, epoch_ended=True)
    now = 31.0
    assert clock.due(1, epoch_ended=True)
    assert not clock.due(1, epoch_ended=False)
    now = 121.0
    assert clock.due(1, epoch_ended=False)
    clock.written()
    assert not clock.due(1, epoch_ended=False)


def test_the_guard_names_what_is_broken_one_batch_later():
    guard = FiniteGuard()
    guard.watch(torch.tensor([1.0, 2.0]), ("bbox", "heatmap"), ("a.jpg",), 1)
    guard.watch(torch.tensor([1.0, torch.nan]), ("bbox", "heatmap"), ("b.jpg", "c.jpg"), 2)
    with pytest.raises(EveryposeError, match=r"at step 2: heatmap is nan\. .* b\.jpg, c\.jpg"):
        guard.watch(torch.tensor([1.0, 2.0]), ("bbox", "heatmap"), ("d.jpg",), 3)
    guard.finish()
    guard.watch(torch.tensor([torch.inf]), ("bbox",), ("e.jpg",), 4)
    with pytest.raises(EveryposeError, match="bbox is inf"):
        guard.finish()


def test_a_step_with_a_broken_gradient_is_left_out_and_many_in_a_row_end_the_run():
    net, guard = network(), GradientGuard()
    parameters = list(net.parameters())

    def check(value, step):
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        parameters[0].grad[0] = value
        guard.check(parameters, step)
        return [parameter.grad is not None for parameter in parameters]

    assert all(check(1.0, 1))
    for step in range(2, 2 + GradientGuard.MOST_IN_A_ROW - 1):
        assert not any(check(torch.nan, step))
    assert all(check(1.0, 12))
    assert guard.left_out == GradientGuard.MOST_IN_A_ROW - 1
    for step in range(13, 22):
        check(torch.inf, step)
    with pytest.raises(EveryposeError, match=r"at step 22: the gradients of the last 10 steps .*=32-true"):
        check(torch.inf, 22)


def test_finite_weights():
    net = network()
    assert finite_weights(list(net.parameters()))
    with torch.no_grad():
        net[0].weight[0, 0, 0, 0] = torch.inf
    assert not finite_weights(list(net.parameters()))


def test_the_log_keeps_the_lines_up_to_the_checkpoint(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"ste')
    _keep_lines(path, 2)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'
