"""Who may do what: tokens from the settings, compared in constant time.

Reads need none, and are answered while the session is active. A read with `internal=true` needs the read token, a command the
command token; neither does for the other. A token that is not set is a door that is closed.
"""

from __future__ import annotations

import hmac
from typing import Final

from pydantic import SecretStr

from streams.errors import ApiError

_SCHEME: Final = "bearer "


class Door:
    """What a token opens.

    Args:
        token: None keeps it closed.
        variable: the setting that the token comes from.
        what: what is behind it, in words.
    """

    def __init__(self, token: SecretStr | None, variable: str, what: str) -> None:
        self._token = None if token is None else token.get_secret_value().encode()
        self._variable = variable
        self._what = what

    def pass_with(self, authorization: str | None) -> None:
        """Let through who has the token in a header `Authorization: Bearer TOKEN`.

        Raises:
            ApiError: he has not, or nobody may pass.
        """
        if self._token is None:
            raise ApiError(403, "closed", f"{self._what} is closed on this worker: set {self._variable} in its environment to open it")
        challenge = {"WWW-Authenticate": 'Bearer realm="session-streams"'}
        header = authorization or ""
        if header[: len(_SCHEME)].lower() != _SCHEME:
            raise ApiError(
                401, "no_token", f"{self._what} needs the header Authorization: Bearer and the token of {self._variable}", challenge
            )
        if not hmac.compare_digest(header[len(_SCHEME) :].strip().encode(), self._token):
            raise ApiError(401, "wrong_token", f"{self._what} needs the token of {self._variable}, and this is another", challenge)
