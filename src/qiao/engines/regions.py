"""The cloud's regions (reference §1.1)."""

from __future__ import annotations

from dataclasses import dataclass

from qiao.wire.model import Scope


@dataclass(frozen=True, slots=True)
class Region:
    """A region of Model Studio; `host` is the shared one, None where only workspace hosts exist."""

    name: str
    host: str | None
    label_zh: str
    label_en: str
    scope: Scope | None = None  # whose prices hold; None: not known

    def root(self, workspace: str | None = None) -> str:
        """The address under which `/api/v1` and `/compatible-mode/v1` lie; ValueError without a host."""
        if workspace:
            return f"https://{workspace}.{self.name}.maas.aliyuncs.com"
        if self.host is None:
            raise ValueError(f"region {self.name} has workspace hosts only: set a workspace")
        return f"https://{self.host}"


REGIONS: dict[str, Region] = {
    region.name: region
    for region in (
        Region("cn-beijing", "dashscope.aliyuncs.com", "华北2（北京）", "China (Beijing)", "mainland"),
        Region("ap-southeast-1", "dashscope-intl.aliyuncs.com", "新加坡", "Singapore", "intl"),
        Region("us-east-1", "dashscope-us.aliyuncs.com", "美国（弗吉尼亚）", "US (Virginia)", "global"),
        Region("cn-hongkong", "cn-hongkong.dashscope.aliyuncs.com", "中国香港", "Hong Kong"),
        Region("eu-central-1", None, "德国（法兰克福）", "Germany (Frankfurt)", "global"),
        Region("ap-northeast-1", None, "日本（东京）", "Japan (Tokyo)", "global"),
        Region("finance", "dashscope-finance.aliyuncs.com", "金融云", "Finance cloud"),
    )
}
ALIASES = {
    "beijing": "cn-beijing",
    "singapore": "ap-southeast-1",
    "intl": "ap-southeast-1",
    "virginia": "us-east-1",
    "us": "us-east-1",
    "hongkong": "cn-hongkong",
    "frankfurt": "eu-central-1",
    "tokyo": "ap-northeast-1",
}


def find(name: str) -> Region:
    """A region by name or everyday alias; ValueError lists what there is."""
    known = REGIONS.get(ALIASES.get(name.lower(), name.lower()))
    if known is None:
        raise ValueError(f"unknown region {name!r}; one of: {', '.join(REGIONS)}")
    return known
