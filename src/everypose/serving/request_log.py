"""One JSON line a request on standard error: the request and its outcome, never its content."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

Value = str | int | float | None


class RequestLog:
    """Writes log lines.

    A line is one JSON object in ASCII, so that header values of a client can neither start a new line nor contain
    terminal escape codes.

    >>> import io, json
    >>> stream = io.StringIO()
    >>> RequestLog(stream).write("request", status=200)
    >>> json.loads(stream.getvalue())["status"]
    200

    Args:
        stream: where to write; standard error by default.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def write(self, event: str, **fields: Value) -> None:
        """Write one line: the time, the event and its fields."""
        line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **fields})
        try:
            print(line, file=self._stream or sys.stderr, flush=True)
        except (OSError, ValueError):
            return  # a full disk or a closed stream must not fail the request


class JsonLines(logging.Handler):
    """Sends the records of Python's logging, such as the HTTP server's, through a :class:`RequestLog`.

    >>> import io
    >>> stream = io.StringIO()
    >>> record = logging.LogRecord("uvicorn", logging.INFO, "", 0, "listening", None, None)
    >>> JsonLines(RequestLog(stream)).emit(record)
    >>> json.loads(stream.getvalue())["message"]
    'listening'
    """

    def __init__(self, log: RequestLog) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; a traceback goes into one field."""
        fields: dict[str, Value] = {"level": record.levelname, "logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            fields["traceback"] = logging.Formatter().formatException(record.exc_info)
        self._log.write("log", **fields)
