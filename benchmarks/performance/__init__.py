"""What `python -m benchmarks` measures: a file for each section of the page, and the few tools that they share."""
