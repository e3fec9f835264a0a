"""Workers for the tests of the documents."""

from tests.integration.conftest import workers

__all__ = ["workers"]
