"""Identities over time: online tracking, offline tracking, smoothing of poses. Needs numpy, scipy and OpenCV only."""
