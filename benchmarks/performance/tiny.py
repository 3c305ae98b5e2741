"""Networks small enough for a smoke run of the benchmarks."""

from everypose.backbones.settings import HRNetSettings, ViTSettings
from everypose.methods.boir.settings import BoIRSettings
from everypose.methods.mipnet.settings import MIPNetSettings
from everypose.methods.vitpose.settings import ViTPoseSettings

TINY_HRNET = HRNetSettings(width=4, modules=(1, 1, 1), blocks=1, stem_blocks=1)
TINY_BOIR = BoIRSettings(backbone=TINY_HRNET, instance=8, neck_branch=8, neck=8, head=8, embedding=8, auxiliary=False)
TINY_MIPNET = MIPNetSettings(backbone=TINY_HRNET)
TINY_VITPOSE = ViTPoseSettings(backbone=ViTSettings(width=16, depth=1, heads=2, image_size=(64, 64)), channels=8)
