"""Errors of requests, each with its HTTP status and one line for the client."""


class RequestError(Exception):
    """A request that cannot be answered.

    >>> error = BusyError("64 requests are waiting", retry_after=1)
    >>> error.status, error.detail, error.retry_after
    (429, '64 requests are waiting', 1)

    Attributes:
        status: the HTTP status.
        detail: one line for the client.
        retry_after: seconds after which the client may try again; None if that does not help.
    """

    status = 500

    def __init__(self, detail: str, *, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after


class BadRequestError(RequestError):
    """The request is malformed."""

    status = 400


class UnauthorizedError(RequestError):
    """The request carries no valid token."""

    status = 401


class NotFoundError(RequestError):
    """There is no such model or job."""

    status = 404


class BodyTimeoutError(RequestError):
    """The body of the request did not arrive in time."""

    status = 408


class ConflictError(RequestError):
    """The result is not available yet."""

    status = 409


class TooLargeError(RequestError):
    """The body has too many bytes, or the image too many pixels."""

    status = 413


class UnsupportedMediaError(RequestError):
    """The service does not read this kind of content."""

    status = 415


class UnprocessableError(RequestError):
    """The request is well formed, but an option or the image cannot be used."""

    status = 422


class BusyError(RequestError):
    """Too many requests are waiting."""

    status = 429


class ModelFailedError(RequestError):
    """The model failed on the image."""

    status = 500


class UnavailableError(RequestError):
    """No worker can answer now: all have ended or are starting, or the service is stopping."""

    status = 503


class AnswerTimeoutError(RequestError):
    """The answer took too long."""

    status = 504


class ClientGoneError(Exception):
    """The client closed the connection before its answer."""
