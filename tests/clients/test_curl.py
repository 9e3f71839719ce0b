"""curl, and the bytes that it shows."""

from __future__ import annotations

import pytest

# The first case of a client runs all of them.
pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

CLIENTS = ["curl"]


def test_curl_gets_what_the_reference_says(outcome):
    assert outcome.error is None, outcome.error
