"""Third-party pretrained weights converted to the parameter names of the backbones."""
