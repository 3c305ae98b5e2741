"""Every reader and command of everypose."""

from benchmarks.fuzzing.commands import command_targets
from benchmarks.fuzzing.data_commands import data_command_targets
from benchmarks.fuzzing.data_readers import data_targets, image_targets
from benchmarks.fuzzing.model_commands import model_command_targets
from benchmarks.fuzzing.model_readers import download_targets, model_targets, onnx_targets
from benchmarks.fuzzing.result_readers import result_targets, saved_targets, tracking_targets
from benchmarks.fuzzing.service import service_targets
from benchmarks.fuzzing.target import Target
from benchmarks.fuzzing.video_and_bulk_readers import archive_targets, video_targets


def reader_targets() -> list[Target]:
    """Every reader, and the requests of the service."""
    return [
        *image_targets(),
        *data_targets(),
        *result_targets(),
        *saved_targets(),
        *tracking_targets(),
        *video_targets(),
        *archive_targets(),
        *model_targets(),
        *onnx_targets(),
        *download_targets(),
        *service_targets(),
    ]


def all_targets() -> list[Target]:
    """Every reader and command."""
    return [*reader_targets(), *command_targets(), *data_command_targets(), *model_command_targets()]
