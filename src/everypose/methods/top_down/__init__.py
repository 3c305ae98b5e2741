"""Top-down pose estimation: what methods that process one crop per box share."""
