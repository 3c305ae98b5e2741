"""One-to-one assignment with the greatest total value."""

from everypose.core.arrays import Float64, Int64
from everypose.errors import MissingDependencyError


def best_assignment(value: Float64) -> tuple[Int64, Int64]:
    """Rows and columns of the assignment of min(N, M) pairs with the greatest total value (N, M).

    Example:
        >>> import numpy as np
        >>> rows, columns = best_assignment(np.array([[0.9, 0.8], [0.7, 0.1]]))
        >>> rows.tolist(), columns.tolist()
        ([0, 1], [1, 0])

    Raises:
        MissingDependencyError: if scipy is not installed.
    """
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise MissingDependencyError("tracking", "video") from error

    rows, columns = linear_sum_assignment(value, maximize=True)
    return rows, columns
