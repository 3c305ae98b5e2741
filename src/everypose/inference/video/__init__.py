"""Inference over videos: frames in, annotated videos and results out; tracking of saved results."""
