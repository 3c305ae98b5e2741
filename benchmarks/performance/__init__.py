"""The measurements of `python -m benchmarks`: one module per section of the page, and shared tools."""
