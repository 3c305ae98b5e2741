"""Networks that turn an image into features: HRNet and the small trunk of the default model."""
