"""Result formats: each module writes one, and reads it where it can be read back.

`FrameResult` is what writers take and `read_results` yields: the people of one photo or video frame. Coordinates are in
pixels of the upright image, x to the right, y down, pixel centers at whole numbers; times are in seconds.
"""

from everypose.inference.results.reading import read_results
from everypose.inference.results.record import FrameResult, ResultsWriter

__all__ = ["FrameResult", "ResultsWriter", "read_results"]
