"""The newest openai SDK, unmodified."""

from __future__ import annotations

import pytest

# The first case of a client runs all of them.
pytestmark = pytest.mark.timeout(300)

CLIENTS = ["openai-3"]


def test_openai_sdk_gets_what_it_expects(outcome):
    assert outcome.error is None, outcome.error
