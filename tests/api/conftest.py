import pytest

from tests.api.listening import Seen


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def seen() -> Seen:
    return Seen()
