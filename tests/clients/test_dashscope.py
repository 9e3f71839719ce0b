"""The dashscope SDK 2.x, unmodified: the module-level API and `Client`."""

from __future__ import annotations

import pytest

# The first case of a client runs all of them.
pytestmark = pytest.mark.timeout(300)

CLIENTS = ["dashscope-module", "dashscope-client"]


def test_dashscope_sdk_gets_what_it_expects(outcome):
    assert outcome.error is None, outcome.error
