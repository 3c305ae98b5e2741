"""Settings of the service: limits, timeouts, and the models that it loads."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

MEBIBYTE = 2**20
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class ModelOptions(BaseModel):
    """One model of the service and the options of :func:`everypose.load` that it is loaded with.

    >>> ModelOptions(model="boir-lite", options={"min_score": 0.2}).model
    'boir-lite'

    Attributes:
        model: a catalog name, a folder, a file or a hub id.
        options: keyword arguments of :func:`everypose.load`, JSON values only.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    options: dict[str, Any] = Field(default_factory=dict)


class ServerSettings(BaseModel):
    """Limits and timeouts of the service.

    >>> settings = ServerSettings(workers=2)
    >>> settings.port, sorted(settings.accepted_hosts)
    (8000, ['127.0.0.1', '::1', 'localhost'])

    Attributes:
        host: address to listen on.
        port: TCP port to listen on; 0 for any free one.
        workers: worker processes for each model.
        queue: requests that may wait for a worker of a model; one more is answered with 429.
        timeout: seconds from a complete request to its answer.
        body_timeout: seconds within which the body of a request must arrive.
        header_timeout: seconds within which the header of a request must arrive.
        grace: seconds that requests get to finish when the service stops.
        batch_wait: seconds that a worker waits for more images to fill a batch.
        max_bytes: largest body of an image request, in bytes.
        max_pixels: largest image, in decoded pixels.
        max_video_bytes: largest body of a video request, in bytes.
        video_body_timeout: seconds within which it must arrive.
        held_bytes: bytes that the bodies of all requests together may occupy.
        connections: largest number of open connections.
        streams: largest number of open WebSocket streams.
        stream_idle: seconds without a frame after which a stream is closed.
        video_jobs: video jobs that may wait; one more is answered with 429.
        job_seconds: seconds for which a finished video job can be fetched.
        origins: web origins allowed by CORS, such as ``https://team.example``.
        hosts: values of the Host header that are accepted; empty accepts any, except on a loopback address.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    workers: int = Field(default=1, ge=1, le=64)
    queue: int = Field(default=64, ge=1)
    timeout: float = Field(default=60.0, gt=0)
    body_timeout: float = Field(default=30.0, gt=0)
    header_timeout: float = Field(default=10.0, gt=0)
    grace: float = Field(default=30.0, ge=0)
    batch_wait: float = Field(default=0.01, ge=0, le=0.01)
    max_bytes: int = Field(default=20 * MEBIBYTE, ge=1)
    max_pixels: int = Field(default=64_000_000, ge=1)
    max_video_bytes: int = Field(default=200 * MEBIBYTE, ge=1)
    video_body_timeout: float = Field(default=300.0, gt=0)
    held_bytes: int = Field(default=512 * MEBIBYTE, ge=1)
    connections: int = Field(default=512, ge=1)
    streams: int = Field(default=16, ge=0)
    stream_idle: float = Field(default=60.0, gt=0)
    video_jobs: int = Field(default=4, ge=0)
    job_seconds: float = Field(default=600.0, gt=0)
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    @property
    def accepted_hosts(self) -> frozenset[str]:
        """Host names that a request may be addressed to; empty when any is accepted.

        A service on a loopback address accepts loopback names only: a web page whose own name resolves to 127.0.0.1
        (DNS rebinding) cannot reach it.
        """
        if self.hosts or self.host not in LOOPBACK:
            return frozenset(self.hosts)
        return frozenset(LOOPBACK)
