"""Runtimes that execute a model: ONNX Runtime, OpenVINO and torch."""
