"""CID's size."""

import torch

from everypose.backbones.hrnet import HRNet
from everypose.methods.cid.network import CID


def test_parameter_count_of_w32() -> None:
    with torch.device("meta"):
        network = CID(HRNet(32), 17)
    assert sum(parameter.numel() for parameter in network.parameters()) == 29_363_087
