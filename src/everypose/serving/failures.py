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
    """The request is malformed.

    >>> error = BadRequestError("the form has no field image")
    >>> error.status, error.detail
    (400, 'the form has no field image')
    """

    status = 400


class UnauthorizedError(RequestError):
    """The request carries no valid token.

    >>> error = UnauthorizedError("a valid token is needed")
    >>> error.status, error.detail
    (401, 'a valid token is needed')
    """

    status = 401


class NotFoundError(RequestError):
    """There is no such model or job.

    >>> error = NotFoundError("no model of this name is loaded")
    >>> error.status, error.detail
    (404, 'no model of this name is loaded')
    """

    status = 404


class BodyTimeoutError(RequestError):
    """The body of the request did not arrive in time.

    >>> error = BodyTimeoutError("the body did not arrive in 30 seconds")
    >>> error.status, error.detail
    (408, 'the body did not arrive in 30 seconds')
    """

    status = 408


class ConflictError(RequestError):
    """The result is not available yet.

    >>> error = ConflictError("the video is not done yet")
    >>> error.status, error.detail
    (409, 'the video is not done yet')
    """

    status = 409


class TooLargeError(RequestError):
    """The body has too many bytes, or the image too many pixels.

    >>> error = TooLargeError("the image has more than 64 megapixels")
    >>> error.status, error.detail
    (413, 'the image has more than 64 megapixels')
    """

    status = 413


class UnsupportedMediaError(RequestError):
    """The service does not read this kind of content.

    >>> error = UnsupportedMediaError("the body is text/html")
    >>> error.status, error.detail
    (415, 'the body is text/html')
    """

    status = 415


class UnprocessableError(RequestError):
    """The request is well formed, but an option or the image cannot be used.

    >>> error = UnprocessableError("min_score: it must be 1 or less")
    >>> error.status, error.detail
    (422, 'min_score: it must be 1 or less')
    """

    status = 422


class BusyError(RequestError):
    """Too many requests are waiting.

    >>> error = BusyError("64 requests are waiting", retry_after=1)
    >>> error.status, error.retry_after
    (429, 1)
    """

    status = 429


class ModelFailedError(RequestError):
    """The model failed on the image.

    >>> error = ModelFailedError("the model failed on the image")
    >>> error.status, error.detail
    (500, 'the model failed on the image')
    """

    status = 500


class UnavailableError(RequestError):
    """No worker can answer now: all have ended or are starting, or the service is stopping.

    >>> error = UnavailableError("the service is stopping", retry_after=5)
    >>> error.status, error.retry_after
    (503, 5)
    """

    status = 503


class AnswerTimeoutError(RequestError):
    """The answer took too long.

    >>> error = AnswerTimeoutError("no answer within 60 seconds")
    >>> error.status, error.detail
    (504, 'no answer within 60 seconds')
    """

    status = 504


class ClientGoneError(Exception):
    """The client closed the connection before its answer.

    >>> issubclass(ClientGoneError, RequestError)  # it is not answered
    False
    """
