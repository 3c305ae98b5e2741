"""Smoothing of tracked poses: live, frame by frame, and offline, over the whole video."""
