"""The Multi-Instance Modulation Block (section 3.3) and the selectors that choose a person."""

import torch
from torch import Tensor, nn

from everypose.errors import UsageError

REDUCTION = 4


def select(instance: int, instances: int = 2) -> Tensor:
    """The selector of one person: a one-hot vector (instances,), as the paper numbers people.

    0 is the primary person, whose box made the crop; 1 is the second, and so on. The released checkpoints have the same
    vectors, (1, 0) for the primary, although their code calls that "lambda 1".

    Raises:
        IndexError: if there is no such instance.

    >>> select(1, instances=3)
    tensor([0., 1., 0.])
    """
    return torch.eye(instances)[instance]


class MIMB(nn.Module):
    """Multi-Instance Modulation Block: gates the channels of a map by its content and by the selected person.

    The squeezed map, its mean over all pixels, goes through ``excite`` (squeeze and excitation, Hu et al., CVPR 2018);
    the selector goes through ``embed``. Both end in a sigmoid, and their product scales each channel. As released,
    ``embed`` has biases and batch normalization; in the paper it has the same two layers as ``excite``.

    Args:
        channels: channels of the map, 4 at least.
        instances: length of the selectors, N.
        gain: constant factor of the product of both gates; 4 lets a block with small weights start as the identity.

    Example:
        >>> block = MIMB(channels=8).eval()
        >>> block(torch.ones(2, 8, 4, 4), torch.eye(2)).shape  # one map for each of two people
        torch.Size([2, 8, 4, 4])
    """

    def __init__(self, channels: int, instances: int = 2, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain
        hidden = channels // REDUCTION
        self.excite = nn.Sequential(
            nn.Linear(channels, hidden, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, channels, bias=False),
            nn.Sigmoid(),
        )
        self.embed = nn.Sequential(
            nn.Linear(instances, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, channels),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor, selectors: Tensor) -> Tensor:
        """Modulate a batch of maps.

        Args:
            x: (R, channels, h, w).
            selectors: (R, N), one for each map; one-hot, or soft: any mixture of people (Fig. 6).

        Returns:
            (R, channels, h, w).

        Raises:
            UsageError: if a single map is given in training: batch normalization of selectors needs several.
        """
        if len(selectors) == 1 and self.embed[1].training:
            raise UsageError(
                "MIPNet cannot be trained on one crop with one person: give --set trainer.batch=2 or more, or "
                "--set model.instances=2 or more"
            )
        gate: Tensor = self.excite(x.mean((2, 3))) * self.embed(selectors)
        return x * (self.gain * gate)[..., None, None]
