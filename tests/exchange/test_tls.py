"""Engines behind TLS: trusted, and not (reliability design, F18)."""

import datetime
import ssl
from pathlib import Path

import pytest
import trustme

from tests.stage import WHOLE, Asked, bridge, scripted

pytestmark = pytest.mark.anyio
PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.mark.parametrize(
    ("names", "expired", "trusted", "status"),
    [
        (("127.0.0.1",), False, True, 200),
        (("127.0.0.1",), False, False, 502),
        (("127.0.0.1",), True, True, 502),
        (("elsewhere.test",), False, True, 502),
    ],
    ids=["trusted", "unknown authority", "expired", "another name"],
)
async def test_f18_only_a_certificate_that_is_trusted_is_asked(
    authority: trustme.CA, tmp_path: Path, names: tuple[str], expired: bool, trusted: bool, status: int
) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    dates = {"not_before": PAST, "not_after": PAST + datetime.timedelta(days=1)} if expired else {}
    authority.issue_cert(*names, **dates).configure_cert(tls)
    known = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(known))
    async with (
        scripted(Asked.whole, tls=tls) as engine,
        bridge(engine="http", engine_url=engine.url, ca_file=str(known) if trusted else None) as server,
    ):
        answer = await server.chat()
        assert answer.status == status
        if status == 200:
            assert answer.body == WHOLE
        else:
            assert engine.asked == [], "nothing is sent, and never in plain text"
