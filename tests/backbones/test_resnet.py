"""Sizes, names and steps of ResNet."""

import pytest
import torch

from everypose.backbones.resnet import BLOCKS, ResNet


@pytest.mark.parametrize(("depth", "parameters"), [(50, 23_508_032), (101, 42_500_160), (152, 58_143_808)])
def test_parameter_counts(depth: int, parameters: int) -> None:
    # Those of the ImageNet classifiers without their last layer.
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in ResNet(BLOCKS[depth]).parameters()) == parameters


def test_names_and_strides() -> None:
    with torch.device("meta"):
        network = ResNet()
    names = set(network.state_dict())
    assert {"conv1.weight", "bn1.running_var", "layer1.0.downsample.1.bias", "layer4.2.conv3.weight"} <= names
    assert not any(name.startswith("layer1.1.downsample") for name in names)
    for layer, stride in ((network.layer1, 1), (network.layer2, 2), (network.layer4, 2)):
        # The stride is in the 3x3 convolution, not in the 1x1 before it.
        assert (layer[0].conv1.stride[0], layer[0].conv2.stride[0], layer[1].conv2.stride[0]) == (1, stride, 1)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 96)])
def test_steps_give_maps_of_the_promised_widths(height: int, width: int) -> None:
    network = ResNet((1, 1, 1, 1)).eval()
    maps = [torch.randn(2, 3, height, width)]
    with torch.no_grad():
        feature = network(maps[0])
        for step, widths, stride in zip(network.steps(), network.step_widths, (4, 4, 8, 16), strict=True):
            maps = step(maps)
            assert [x.shape for x in maps] == [(2, channels, height // stride, width // stride) for channels in widths]
        assert torch.equal(network.finish(maps), feature)
    assert feature.shape == (2, network.channels, height // 32, width // 32)
