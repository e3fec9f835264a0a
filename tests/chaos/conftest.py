"""Workers for the tests that kill them."""

from tests.integration.conftest import workers

__all__ = ["workers"]
