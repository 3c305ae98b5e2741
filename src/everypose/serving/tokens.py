"""Bearer tokens: read from a file, compared in constant time."""

import base64
import hashlib
import hmac
import re
from pathlib import Path

from everypose.errors import EveryposeError

SHORTEST = 16
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")


class Tokens:
    """The tokens that a service accepts; without any, every request is accepted.

    Args:
        tokens: the tokens.

    >>> Tokens(["0123456789abcdef"]).accept("Bearer 0123456789abcdef")
    True
    """

    def __init__(self, tokens: list[str]) -> None:
        self._digests = [_digest(token) for token in tokens]

    @classmethod
    def read(cls, path: Path) -> "Tokens":
        """Read a file with one token a line; empty lines and lines that begin with # are ignored.

        Raises:
            EveryposeError: if the file cannot be read, has no token, or one that is too short or not a bearer token.
        """
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise EveryposeError(f"cannot read the token file {path}: {error}") from error
        tokens = {}
        for number, line in enumerate(lines, 1):
            if (token := line.strip()) and not token.startswith("#"):
                tokens[number] = token
        if not tokens:
            raise EveryposeError(f"{path} holds no token: write one a line")
        for number, token in tokens.items():
            if len(token) < SHORTEST or not _TOKEN.fullmatch(token):
                raise EveryposeError(
                    f"{path}, line {number}: a token has {SHORTEST} or more of the characters A-Z a-z 0-9 . _ ~ + / = -"
                )
        return cls(list(tokens.values()))

    def __len__(self) -> int:
        return len(self._digests)

    def accept(self, authorization: str | None) -> bool:
        """Whether the value of an Authorization header is accepted.

        ``Bearer TOKEN``, or ``Basic`` with the token as password, for clients that know only user names and passwords.
        """
        return self.accept_token(_token_of(authorization or ""))

    def accept_token(self, token: str) -> bool:
        """Whether a token is accepted; the time does not depend on which token it is or where it differs."""
        if not self._digests:
            return True
        given = _digest(token)
        matches = [hmac.compare_digest(given, digest) for digest in self._digests]
        return any(matches)


def _digest(token: str) -> bytes:
    """The digest of a token: equal lengths, so that the comparison's time says nothing about the token's length."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def _token_of(authorization: str) -> str:
    """The token in the value of an Authorization header; empty when there is none."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode("utf-8").partition(":")[2]
        except ValueError:  # not base64, or not UTF-8
            return ""
    return ""
