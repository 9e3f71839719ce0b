"""`qiao doctor`: each thing that can be wrong is found, named and given a remedy."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from qiao.cli import checks
from tests.cli.conftest import Run
from tests.cli.stub import MODELS, Request, Response, Stub, refusal, whole

KEY = "sk-0123456789abcdef0123456789abcdef"
DEMO = Path(checks.__file__).parents[1] / "data" / "demo.gguf"


def found(qiao: Run, *arguments: str, **variables: str) -> tuple[int, dict[str, dict[str, str]]]:
    """The exit code and the findings by name."""
    ended = qiao("doctor", "--json", "--port", "0", *arguments, **variables)
    report = json.loads(ended.stdout)
    assert report["ok"] is (ended.returncode == 0)
    assert all(row["fix"] for row in report["checks"] if row["status"] == "wrong")
    return ended.returncode, {row["name"]: row for row in report["checks"]}


def test_a_missing_key_is_found(qiao: Run) -> None:
    code, rows = found(qiao)
    assert code == 1
    assert rows["key"]["message"] == "DASHSCOPE_API_KEY is not set"
    assert "export DASHSCOPE_API_KEY" in rows["key"]["fix"]


def test_no_key_is_needed_where_another_engine_was_chosen(qiao: Run) -> None:
    code, rows = found(qiao, "--engine", "simulator")
    assert code == 0
    assert rows["key"]["status"] == "none"


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ("Bearer sk-0123456789abcdef", "bearer"),
        ('"sk-0123456789abcdef"', "quotes"),
        ("“sk-0123456789abcdef”", "quotes"),
        ("sk-0123456789 abcdef", "spaces"),
        ("sk-0123456789abcdef\n", "spaces"),
        ("YOUR_DASHSCOPE_API_KEY", "placeholder"),
        ("your_api_key", "placeholder"),
        ("sk-xxxxxxxxxxxxxxxxxxxx", "placeholder"),
        ("sk-０１２３４５６７８９abcdef", "letters"),
        ("0123456789abcdef0123456789abcdef", "prefix"),
        ("sk-012345", "short"),
        (KEY, None),
        ("sk-ws-0123456789abcdef", None),
    ],
)
def test_a_malformed_key_is_told_from_a_good_one(key: str, fault: str | None) -> None:
    assert checks.malformed(key) == fault


def test_a_malformed_key_is_not_sent(qiao: Run, stub: Stub) -> None:
    code, rows = found(qiao, "--cloud-url", stub.url, DASHSCOPE_API_KEY="'sk-0123456789abcdef'")
    assert code == 1
    assert "quotation marks" in rows["key"]["message"]
    assert "cloud" not in rows
    assert not [request for request in stub.requests if request.key]


def test_a_working_key_and_its_models_are_well(qiao: Run, stub: Stub) -> None:
    code, rows = found(
        qiao, "--cloud-url", stub.url, "--model", "qwen-plus", "--model", "qwen-plsu", DASHSCOPE_API_KEY=KEY
    )
    assert "2 models" in rows["cloud"]["message"]
    assert KEY not in str(rows)
    assert (code, rows["model"]["message"]) == (1, "qwen-plsu is not there")
    assert "qwen-plus" in rows["model"]["fix"]


def test_a_key_that_the_cloud_refuses_is_found(qiao: Run, stub: Stub) -> None:
    stub.answers["/compatible-mode/v1/models"] = refusal(401, "Incorrect API key provided.", "invalid_api_key")
    code, rows = found(qiao, "--cloud-url", stub.url, DASHSCOPE_API_KEY=KEY)
    assert code == 1
    assert "Incorrect API key" in rows["cloud"]["message"]


def test_the_wrong_region_is_told_from_the_wrong_key(stub: Stub) -> None:
    def only_there(request: Request) -> Response:
        there = request.headers["host"].startswith("127.0.0.1")
        return whole(MODELS) if there else refusal(401, "Incorrect API key provided.", "invalid_api_key")

    stub.answers["/compatible-mode/v1/models"] = only_there
    here, there = stub.url.replace("127.0.0.1", "localhost"), stub.url
    finding = checks.check_elsewhere(KEY, {"cn-beijing": here, "ap-southeast-1": there})
    assert "ap-southeast-1" in finding.message
    assert finding.fix == "export QIAO_REGION=ap-southeast-1"
    assert checks.check_elsewhere(KEY, {"cn-beijing": here}).message == "no region knows the key"


def test_an_unknown_region_is_found(qiao: Run) -> None:
    _, rows = found(qiao, "--region", "mars", DASHSCOPE_API_KEY=KEY)
    assert rows["network"]["status"] == "wrong"
    assert "cn-beijing" in rows["network"]["fix"]


def test_a_name_that_is_not_resolved_is_the_dns(qiao: Run) -> None:
    _, rows = found(qiao, "--cloud-url", "https://qiao.invalid", DASHSCOPE_API_KEY=KEY)
    assert "not known to the network" in rows["network"]["message"]
    assert "DNS" in rows["network"]["fix"]


def test_a_closed_port_is_a_firewall_or_a_wrong_address(qiao: Run) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}"
    _, rows = found(qiao, "--cloud-url", closed, DASHSCOPE_API_KEY=KEY)
    assert "connection refused" in rows["network"]["message"]


def test_something_that_speaks_no_tls_is_told_apart(qiao: Run, stub: Stub) -> None:
    _, rows = found(qiao, "--cloud-url", stub.url.replace("http", "https"), DASHSCOPE_API_KEY=KEY)
    assert "No secure connection" in rows["network"]["message"]
    assert "QIAO_CA_FILE" in rows["network"]["fix"]


def test_a_proxy_that_is_not_there_is_named(qiao: Run) -> None:
    _, rows = found(qiao, DASHSCOPE_API_KEY=KEY, HTTPS_PROXY="http://127.0.0.1:9")
    assert "127.0.0.1:9" in rows["network"]["message"]
    assert "HTTPS_PROXY" in rows["network"]["fix"]


def test_a_model_name_is_looked_up_without_the_network_too(qiao: Run) -> None:
    _, rows = found(qiao, "--engine", "local", "--model", "qwen-pluss")
    assert "qwen-plus" in rows["model"]["fix"]
    _, rows = found(qiao, "--engine", "local", "--model", "qwen-1.8b-chat")
    assert "older documents" in rows["model"]["message"]
    _, rows = found(qiao, "--engine", "local", "--model", "qwen-plus")
    assert rows["model"]["status"] == "ok"


def test_missing_damaged_and_good_weights_are_told_apart(qiao: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.gguf").write_text("hello")
    local = {"QIAO_ENGINE": "local", "QIAO_ENGINE_BINARY": "llama-server"}
    assert "does not exist" in found(qiao, "--weights", "none.gguf", **local)[1]["weights"]["message"]
    assert "is not a GGUF file" in found(qiao, "--weights", "notes.gguf", **local)[1]["weights"]["message"]
    good = found(qiao, "--weights", str(DEMO), **local)[1]["weights"]
    assert good["status"] == "ok"
    assert "GiB, context" in good["message"]


def test_a_taken_port_says_who_has_it(qiao: Run, stub: Stub) -> None:
    ended = qiao("doctor", "--engine", "simulator", "--port", str(stub.port))
    assert ended.returncode == 1
    assert "is taken by another program (BaseHTTP/" in ended.stdout
    assert "→ Take another port" in ended.stdout


def test_a_port_that_qiao_has_is_well(qiao: Run, simulator: str) -> None:
    ended = qiao("doctor", "--engine", "simulator", "--port", simulator.rpartition(":")[2])
    assert ended.returncode == 0
    assert "Qiao answers on" in ended.stdout
    assert "Nothing is wrong." in ended.stdout


def test_an_address_of_another_machine_cannot_be_listened_on(qiao: Run) -> None:
    ended = qiao("doctor", "--engine", "simulator", "--host", "192.0.2.1", QIAO_KEYS="k")
    assert ended.returncode == 1
    assert "192.0.2.1:1 cannot be used" in ended.stdout


def test_a_setting_that_is_wrong_is_named_and_the_rest_still_checked(qiao: Run, tmp_path: Path) -> None:
    (tmp_path / "qiao.toml").write_text("prot = 9000\n")
    ended = qiao("doctor", "--port", "0")
    assert ended.returncode == 1
    assert "✗ Settings: " in ended.stdout
    assert "prot" in ended.stdout
    assert "✗ Key: " in ended.stdout


def test_an_engine_is_asked_for_its_models(qiao: Run, stub: Stub) -> None:
    stub.answers["/v1/models"] = whole(MODELS)
    code, rows = found(qiao, "--engine-url", stub.url)
    assert code == 0
    assert "qwen-plus, qwen-max" in rows["engine"]["message"]
    stub.answers["/v1/models"] = refusal(401, "no")
    code, rows = found(qiao, "--engine-url", stub.url)
    assert (code, rows["engine"]["status"]) == (1, "wrong")


def test_the_report_speaks_chinese(qiao: Run) -> None:
    ended = qiao("doctor", "--port", "0", "--lang", "zh")
    assert "✗ 密钥: 没有设置 DASHSCOPE_API_KEY" in ended.stdout
    assert "有 1 个问题。" in ended.stdout


def test_each_engine_of_a_configuration_is_asked_and_its_models_are_compared_with_the_routes(
    qiao: Run, stub: Stub, tmp_path: Path
) -> None:
    stub.answers["/v1/models"] = whole(MODELS)
    (tmp_path / "qiao.toml").write_text(
        f"""
        engines = [
            {{name = "gpu-1", kind = "vllm", url = "{stub.url}", key = "sk-engine"}},
            {{name = "gpu-2", kind = "sglang", url = "http://127.0.0.1:1"}},
            {{name = "gpu-3", kind = "http"}},
        ]
        routes = [{{model = "qwen-*", engines = [["gpu-1=qwen-max", "gpu-2=qwen-max"], "gpu-1=qwen3-30b"]}}]
        """
    )
    ended = qiao("doctor", "--port", "0")
    assert ended.returncode == 1
    assert f"✓ Engine: gpu-1: {stub.url}/v1 answers; models: qwen-plus, qwen-max" in ended.stdout
    assert "✗ Engine: gpu-2: No connection to 127.0.0.1:1" in ended.stdout
    assert "✗ Engine: gpu-3: no address" in ended.stdout
    assert "✗ Engine: gpu-1: the engine has no model qwen3-30b" in ended.stdout
    assert ended.stdout.count("✗ Engine") == 3
    assert stub.requests[-1].key == "Bearer sk-engine"
