"""The line under an answer: tokens, cost and speed."""

from __future__ import annotations

from qiao.cli.place import Place
from qiao.cli.stream import Heard
from qiao.cli.text import say

# Engines of Qiao that bill at the price book of the cloud, and those that cost nothing, by the start of their name.
_BILLED = ("cloud", "dashscope")
_FREE = ("local", "simulator")


def line(heard: Heard, place: Place) -> str:
    """What the answer took; what is not known is left out."""
    parts: list[str] = []
    usage = heard.usage
    if usage is not None:
        cached = say("meter.cached", count=usage.cached) if usage.cached else ""
        thought = say("meter.thought", count=usage.reasoning) if usage.reasoning else ""
        parts += [say("meter.input", count=usage.input) + cached, say("meter.output", count=usage.output) + thought]
    parts += [part for part in (cost(heard, place), *_speed(heard)) if part]
    if heard.finish == "length":
        parts.append(say("meter.cut"))
    return " · ".join(parts)


def cost(heard: Heard, place: Place) -> str:
    """The cost by the price book (Beijing's list prices), empty where it is not known."""
    if heard.engine.startswith(_FREE):
        return say("meter.free")
    if heard.usage is None or not (place.kind == "cloud" or heard.engine.startswith(_BILLED)):
        return ""
    from qiao.gate import prices
    from qiao.gate.catalog import Catalog

    catalog = Catalog.load()
    found = prices.PriceBook(catalog).cost(catalog.find(heard.model), heard.usage, thought=heard.thoughtful)
    return "" if found is None else prices.yuan(found.nano)


def _speed(heard: Heard) -> list[str]:
    if heard.first is None or heard.last is None:
        return []
    said = [say("meter.first", seconds=f"{heard.first:.2f}")]
    if heard.usage is not None and heard.usage.output > 1 and heard.last > heard.first:
        said.append(say("meter.rate", rate=f"{(heard.usage.output - 1) / (heard.last - heard.first):.1f}"))
    return said
