"""Backbones: networks that compute the features of an image. HRNet, Lite-HRNet, ResNet, ViT and small ones."""
