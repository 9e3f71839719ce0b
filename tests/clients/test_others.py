"""The clients that live in environments of their own, unmodified."""

from __future__ import annotations

import pytest

from tests.clients import roster

# The first case of a client makes its environment and runs all its cases.
pytestmark = [pytest.mark.clients, pytest.mark.timeout(900)]

IN_THE_FAST_SUITE = {"openai-3", "dashscope-module", "dashscope-client", "curl"}
CLIENTS = [client.name for client in roster.CLIENTS if client.name not in IN_THE_FAST_SUITE]


def test_client_gets_what_it_expects(outcome):
    assert outcome.error is None, outcome.error
