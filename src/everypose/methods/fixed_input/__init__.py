"""RTMO (CVPR 2024) and DETRPose: one pass over an input of fixed size, read from ONNX files of their authors."""
