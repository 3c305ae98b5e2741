"""Export of models to ONNX, and post-training int8 quantization."""
