"""The tiny recipe of a top-down model on the crops of the stick figures, and what tests change about it."""

from everypose.training.run import Machines

ONE = Machines(1)
TINY = """
name = "tiny"
[model]
family = "mipnet"
[model.backbone]
kind = "hrnet"
width = 4
modules = [1, 1, 1]
blocks = 1
stem_blocks = 1
[data]
workers = 0
train = [{annotations = "train.json", images = "images"}]
val_split = ""
[inference]
crop_size = [64, 64]
[crops]
sigma = 1
[schedule]
steps = 4
warmup_epochs = 0
[optim]
lr = 5e-3
[trainer]
batch = 2
log_steps = 1
"""
VAL = 'data.val=[{annotations="val.json", images="images"}]'
EXTRA = 'data.extra=[{annotations="val.json", images="images"}]'
STILL = [f"crops.augmentation.{field}=0" for field in ("scale", "rotation", "flip", "half_body")]
VIT = [
    "model={family='vitpose', channels=8, backbone={kind='vit', width=12, depth=2, heads=2, image_size=[48, 64]}}",
    "inference={crop_size=[48, 64], convention='udp', decoder='udp'}",
]
