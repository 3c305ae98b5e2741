"""From a model's name, folder, file or hub id to an estimator."""

from pathlib import Path

from everypose.errors import MissingDependencyError
from everypose.inference.estimator import Estimator
from everypose.inference.runtimes import OnnxRuntime
from everypose.models import resolve


def load(
    model: str | Path = "boir-lite",
    device: str = "cpu",
    flip: bool = False,
    min_score: float | None = None,
    batch_size: int = 4,
    threads: int | None = None,
) -> Estimator:
    """Load a model, ready to find people.

    Args:
        model: a name of ``everypose models``, a folder, a file (.onnx, or a released checkpoint) or a hub id.
        device: "cpu", "cuda" or "cuda:N".
        flip: whether to look at the mirrored image, too (the flip test): better keypoints at twice the time.
        min_score: lowest person score to report; the model's own by default.
        batch_size: the most images that go through the network at once.
        threads: CPU threads; by default the runtime chooses.

    Raises:
        EveryposeError: when the model is damaged or no model of everypose.
        UsageError: when there is no such model or device, or a package that it needs is missing.
    """
    file = resolve(model)
    if file.kind == "onnx":
        onnx = OnnxRuntime(file.path, threads, device, flip)
        return Estimator(onnx, onnx.config, min_score, batch_size)
    try:
        from everypose.inference.torch_runtime import TorchRuntime
    except ImportError as error:
        raise MissingDependencyError(f"running {model}, which is not an ONNX file,", "train") from error
    torch = TorchRuntime(file, threads, device, flip)
    return Estimator(torch, torch.config, min_score, batch_size)
