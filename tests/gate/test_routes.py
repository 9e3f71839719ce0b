"""Routes in the configuration: places in an order, groups that share one, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qiao import app
from qiao.config import ConfigError, RouteRow, Settings
from qiao.gate.catalog import Catalog
from qiao.gate.routes import Routes, Target

ENGINES = [{"name": name, "kind": "openai", "url": "http://127.0.0.1:1"} for name in ("a", "b", "c")]
names = st.sampled_from(["a", "b", "c", "a=m", "b=m", "d", "", "=m"])
values = st.recursive(names | st.none() | st.integers(), lambda inner: st.lists(inner, max_size=3), max_leaves=8)


def test_a_list_inside_is_one_place_of_the_order() -> None:
    row = RouteRow.model_validate({"model": "m", "engines": [["a=x", "b"], "c"]})
    assert row.places == [["a=x", "b"], ["c"]]
    patterns = {"m": [(Target("a", "x"), Target("b", "")), (Target("c", ""),)], "n": [(Target("c", ""),)]}
    routes = Routes(Catalog.load(), [], patterns)
    found = routes.find("m")
    assert found.targets == (Target("a", "x"), Target("b", "m"), Target("c", "m"))
    assert found.groups == (found.targets[:2], found.targets[2:])
    assert routes.find("n").groups == (), "a route without a group has nothing to balance"


def test_groups_can_be_set_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QIAO_ENGINES", json.dumps(ENGINES))
    monkeypatch.setenv("QIAO_ROUTES", json.dumps([{"model": "*", "engines": [["a", "b"], "c"]}]))
    assert Settings.load().routes[0].places == [["a", "b"], ["c"]]


@pytest.mark.parametrize(
    ("engines", "english", "chinese"),
    [
        ([[]], "write engine names", "请写引擎名"),
        ([["a", ["b"]]], "write engine names", "请写引擎名"),
        (["a", 5], "write engine names", "请写引擎名"),
        ([["a", "a=m"]], "'a' is in one group twice", "'a' 在同一组里出现了两次"),
        ([["a", "d"]], "names the engine 'd'", "用到了引擎 'd'"),
        ([], "at least 1 item", "不能为空"),
        ("a", "valid list", "应为列表"),
    ],
)
def test_a_wrong_group_is_named_in_both_languages(engines: Any, english: str, chinese: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.load(None, {"engines": ENGINES, "routes": [{"model": "m", "engines": engines}]})
    assert "routes" in str(caught.value)
    assert english in str(caught.value)
    assert chinese in caught.value.chinese


@given(values)
def test_routes_are_read_or_refused_in_one_sentence(engines: Any) -> None:
    refused: ConfigError | None = None
    try:
        settings = Settings.load(None, {"engines": ENGINES, "routes": [{"model": "m", "engines": engines}]})
        app.build(settings)
        assert all(place and all(place) for place in settings.routes[0].places)
    except ConfigError as error:
        refused = error
    assert refused is None or (refused.chinese and len(str(refused).splitlines()) == 1)


def test_an_admin_key_is_no_client_key(tmp_path: Path) -> None:
    (tmp_path / "qiao.toml").write_text('keys = ["sk-1", "sk-2"]\nadmin_key = "sk-2 "\n')
    with pytest.raises(ConfigError, match="client key too") as caught:
        Settings.load(tmp_path / "qiao.toml")
    assert "客户端密钥" in caught.value.chinese
