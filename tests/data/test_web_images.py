"""Addresses that are none."""

import pytest

from everypose.data.web_images import (
    fetch_image,
    file_of_address,
    is_web_image,
    name_of_address,
    without_password,
)
from everypose.errors import EveryposeError, UsageError


@pytest.mark.parametrize("read", [fetch_image, file_of_address, is_web_image, name_of_address, without_password])
def test_a_malformed_address_is_one_line_without_its_password(read) -> None:
    with pytest.raises(UsageError, match=r"^\[::1/a\.jpg is not an address: Invalid IPv6 URL$"):
        read("http://me:secret@[::1/a.jpg")


def test_a_text_without_a_scheme_is_no_web_image() -> None:
    assert not is_web_image("photos")
    with pytest.raises(EveryposeError, match="photos is not a web address"):
        fetch_image("photos")


def test_a_malformed_address_on_the_command_line_is_wrong_usage(everypose, tmp_path) -> None:
    run = everypose("predict", "http://[::1/a.jpg", "-o", tmp_path / "out")
    assert (run.code, run.err) == (2, "everypose: http://[::1/a.jpg is not an address: Invalid IPv6 URL\n")
