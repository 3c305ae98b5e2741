"""The service answers as its OpenAPI description says, whatever is sent: schemathesis, about two minutes.

It needs packages that everypose does not: `make test-api` installs them in an environment of their own.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from inference.stand_in import write_model
from serving.running import running

pytest.importorskip("schemathesis")

TOKEN = "0123456789abcdef0123456789abcdef"
"""The description says that requests need a token, so the service has one."""


def test_answers_are_those_that_the_description_allows(tmp_path):
    """All checks but one: any bytes are a valid image to the description, and the service decodes them."""
    command = Path(sys.executable).with_name("schemathesis")
    options = [
        "--no-color",
        "--exclude-checks",
        "positive_data_acceptance",
        "--header",
        f"Authorization: Bearer {TOKEN}",
    ]
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKEN)
    model = write_model(tmp_path / "stand_in.onnx")
    with running("-m", model, "--threads", 1, "--token-file", tokens) as service:
        done = subprocess.run(
            [command, "run", f"{service.url}/openapi.json", *options], capture_output=True, text=True, cwd=tmp_path
        )
        assert done.returncode == 0, done.stdout
        assert " passed" in done.stdout
        assert service.process.poll() is None
        assert not any("Traceback" in line for line in service.log)
