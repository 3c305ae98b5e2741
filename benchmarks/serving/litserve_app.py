"""The same estimator behind LitServe, for comparison; needs the package ``litserve``.

Takes the image in base64 in a JSON object, since LitServe parses each body as JSON or as a form; its answer is that of
:meth:`everypose.People.to_json`.
"""

import base64
import sys

import litserve
from fastapi import Request, Response

import everypose
from everypose.data.images import decode_image


class PoseAPI(litserve.LitAPI):  # type: ignore[misc]  # litserve is in an environment of its own
    """One worker process that answers one request after the other."""

    def setup(self, device: str) -> None:  # noqa: ARG002
        """Load the model."""
        self.pose = everypose.load("boir-lite")

    def decode_request(self, request: Request) -> bytes:
        """The encoded image."""
        return base64.b64decode(request["image"])

    def predict(self, body: bytes) -> str:
        """Decode, find people, and render."""
        return self.pose(decode_image(body, "image")).to_json()

    def encode_response(self, output: str) -> Response:
        """The JSON as it is."""
        return Response(output, media_type="application/json")


if __name__ == "__main__":
    server = litserve.LitServer(PoseAPI(), accelerator="cpu", workers_per_device=1, timeout=110)
    server.run(port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
