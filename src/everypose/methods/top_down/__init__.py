"""Top-down pose estimation: what every method that looks at one crop for each box shares."""
