"""The authors' checkpoints and ours: names both ways, one file for each method."""
