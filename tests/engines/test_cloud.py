"""The cloud by region: whose key it was, and which region is meant."""

import pytest

from tests.stage import CALL, WHOLE, Asked, bridge, scripted

pytestmark = pytest.mark.anyio
REFUSED = b'{"error":{"message":"Incorrect API key provided. ","type":"invalid_request_error","param":null,"code":"invalid_api_key"},"request_id":"r1"}'
UNKNOWN = b'{"error":{"message":"The model `qwen-long` does not exist or you do not have access to it.","type":"invalid_request_error","param":null,"code":"model_not_found"},"request_id":"r1"}'


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_refused_cloud_key_is_told_apart_from_the_clients_own() -> None:
    async def refuse(asked: Asked) -> None:
        await asked.whole(REFUSED, 401)

    async with (
        scripted(refuse) as engine,
        bridge(engine="cloud", api_key="sk-cloud", cloud_url=engine.url, keys="sk-mine") as server,
    ):
        own = await server.ask("/v1/chat/completions", CALL, authorization="Bearer sk-wrong")
        assert (own.status, len(engine.asked)) == (401, 0)
        cloud = await server.ask("/v1/chat/completions", CALL, authorization="Bearer sk-mine")
        assert cloud.status == 401
        message = cloud.json["error"]["message"]
        assert message.startswith("Incorrect API key provided.")
        assert "refused the cloud key" in message
        assert "region" in message
        assert cloud.headers["x-should-retry"] == "false"
        assert "sk-cloud" not in cloud.body.decode()


async def test_a_model_that_the_region_lacks_is_told_apart_from_one_that_is_unknown() -> None:
    async def unknown(asked: Asked) -> None:
        await asked.whole(UNKNOWN.replace(b"qwen-long", asked.json["model"].encode()), 404)

    async with scripted(unknown) as engine, bridge(engine="cloud", api_key="sk-c", cloud_url=engine.url) as server:
        known = await server.chat(model="qwen-long")
        assert (known.status, known.json["error"]["code"]) == (404, "model_not_found")
        assert "models differ by region" in known.json["error"]["message"]
        nobody = await server.chat(model="nobody-knows")
        assert nobody.body == UNKNOWN.replace(b"qwen-long", b"nobody-knows"), "relayed as it came"


async def test_regions_workspaces_and_own_addresses_make_the_url() -> None:
    from qiao.engines import regions

    assert regions.find("beijing").root() == "https://dashscope.aliyuncs.com"
    assert regions.find("cn-hongkong").root() == "https://cn-hongkong.dashscope.aliyuncs.com"
    assert regions.find("ap-southeast-1").root("ws1") == "https://ws1.ap-southeast-1.maas.aliyuncs.com"
    with pytest.raises(ValueError, match="workspace"):
        regions.find("eu-central-1").root()
    with pytest.raises(ValueError, match="cn-beijing"):
        regions.find("mars")


async def test_regions_fail_over_before_the_first_byte() -> None:
    async def down(asked: Asked) -> None:
        await asked.whole(b"{}", 503)

    async with scripted(down) as first, scripted(Asked.whole) as second:
        rows = [
            {"name": "beijing", "kind": "cloud", "url": first.url, "key": "k1"},
            {"name": "singapore", "kind": "cloud", "url": second.url, "key": "k2"},
        ]
        async with bridge(engines=rows) as server:
            answer = await server.chat()
            assert (answer.body, answer.headers["x-qiao-engine"]) == (WHOLE, "singapore")
            assert second.asked[0].headers["authorization"] == "Bearer k2"
