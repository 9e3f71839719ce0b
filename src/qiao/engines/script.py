"""What the simulator says: the question as it sees it, and the thought, text and tool calls of its answer.

The same question gets the same answer. It says what can be said without a model (sums, names told before, counting,
JSON of a schema, tool calls) and otherwise plainly that it is a rehearsal.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random
from typing import Any

import msgspec

from qiao.engines import evidence, toolwork
from qiao.engines.schema import Builder
from qiao.wire import check_messages, check_values
from qiao.wire.call import Call
from qiao.wire.check_messages import Message, is_object
from qiao.wire.checks import thinking_asked
from qiao.wire.model import Model

_switch = re.compile(r"\s?/(no_think|think)\b")
_READ = 20_000  # characters of a question that are looked at
_SEEN = {"image_url": "image", "video_url": "video", "video": "video", "input_audio": "audio"}


@dataclass(frozen=True, slots=True)
class Ask:
    """A call as the script sees it."""

    model: Model
    messages: list[Message]
    values: dict[str, Any]
    text: str  # the last user message, without soft switches
    thinks: bool  # what the call says
    silenced: bool  # it thinks, but a soft switch left the thought empty
    seed: str  # the same for the same question

    @property
    def chinese(self) -> bool:
        return evidence.speaks_chinese(self.text)

    @property
    def form(self) -> str:
        return self.values.get("response_format", {"type": "text"})["type"]

    @property
    def prefix(self) -> str | None:
        """The text to be continued, in partial mode."""
        last = self.messages[-1]
        return last.text if last.role == "assistant" and last.partial is True else None

    def say(self, chinese: str, english: str) -> str:
        return chinese if self.chinese else english


@dataclass(frozen=True, slots=True)
class Saying:
    """One choice: a thought, a text, and tool calls as (id, name, arguments)."""

    text: str = ""
    thought: str = ""
    calls: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])


def read(call: Call, model: Model, seed: int) -> Ask:
    """The question of a hub call; InvalidParameter when its shape is wrong."""
    document = call.document
    values = check_values.read(document)
    messages = check_messages.read(document)
    check_messages.check_shapes(messages)
    last = next((_question(message) for message in reversed(messages) if message.role == "user"), "")
    thinks = model.thinks(thinking_asked(values))
    switches = _switch.findall(last)
    hybrid = model.thinking in {"on", "off"}
    told = blake2b(document.raw("messages") or b"", digest_size=16).hexdigest()
    return Ask(
        model=model,
        messages=messages,
        values=values,
        text=_switch.sub("", last).strip()[:_READ],
        thinks=thinks,
        silenced=thinks and hybrid and switches[-1:] == ["no_think"],
        seed=f"{seed}/{model.name}/{values.get('seed')}/{told}",
    )


def _question(message: Message) -> str:
    """What a message asks: its last part where it is long, for agents send their surroundings in parts before it."""
    texts = [part["text"] for part in message.parts if isinstance(part.get("text"), str)]
    return texts[-1] if len(message.text) > toolwork.LONG and texts else message.text


def dice(seed: str) -> Random:
    """A die that falls the same way in every process."""
    return Random(seed)  # noqa: S311 - variety, not secrecy


def answer(ask: Ask, choice: int = 0) -> Saying:
    """What the simulator says to a question, in its choice of that number."""
    die = dice(f"{ask.seed}/{choice}")
    thought = _thought(ask, die) if ask.thinks and not ask.silenced else ""
    calls = [] if ask.prefix is not None else _calls(ask, die)
    if calls:
        return Saying(thought=thought, calls=calls)
    return Saying(text=_text(ask, die), thought=thought)


def _calls(ask: Ask, die: Random) -> list[tuple[str, str, str]]:
    tools = [toolwork.Tool.read(tool) for tool in ask.values.get("tools", ())]
    choice = ask.values.get("tool_choice")
    if ask.messages[-1].role == "tool" and not is_object(choice):
        return []  # the results are in: it is time to answer (a choice that is still forced calls again, §2.5)
    parallel = ask.values.get("parallel_tool_calls") is True
    return [
        (f"call_{die.getrandbits(88):022x}", name, arguments)
        for name, arguments in toolwork.chosen(tools, ask.text, choice, parallel=parallel)
    ]


def _thought(ask: Ask, die: Random) -> str:
    short = ask.text[:200]
    start = die.choice(
        [("好的，", "Okay, "), ("嗯，", "Hmm, "), ("首先，", "First, ")],
    )
    sum_ = next(iter(evidence.sums(ask.text)), None)
    middle = ask.say("我先弄清问题的要点，再组织语言。", "Let me work out the point of it, then put it into words. ")
    if sum_ and evidence.worked_out(sum_):
        middle = ask.say(
            f"{sum_} 的结果是 {evidence.worked_out(sum_)}。", f"{sum_} makes {evidence.worked_out(sum_)}. "
        )
    return ask.say(
        f"{start[0]}用户的问题是“{short}”。{middle}回答应当简洁、准确，并且使用中文。最后检查一遍有没有遗漏，然后作答。",
        f'{start[1]}the user asks: "{short}". {middle}The answer should be short, correct and in English. '
        "I check once more that nothing is missing, and answer.",
    )


def _text(ask: Ask, die: Random) -> str:
    if "translation_options" in ask.values:
        return _translated(ask)
    if ask.form == "json_schema":
        return _instance(ask, ask.values["response_format"]["json_schema"]["schema"])
    if ask.form == "json_object":
        return _json(_like(ask))
    if ask.messages[-1].role == "tool":
        return _after_tools(ask)
    whole = _seen(ask) + _plain(ask, die)
    if ask.prefix is None:
        return whole
    start = ask.prefix.rstrip()
    return whole[len(start) :] if start and whole.startswith(start) else ask.say(*_GO_ON)


_GO_ON = ("这里由模拟引擎接着写完。", " and this is where the simulator goes on.")


def _after_tools(ask: Ask) -> str:
    results: list[str] = []
    for message in reversed(ask.messages):
        if message.role != "tool":
            break
        results.insert(0, message.text.strip())
    found = ("；" if ask.chinese else "; ").join(results)
    return ask.say(f"查询的结果是：{found}", f"Here is what the tools say: {found}")


def _seen(ask: Ask) -> str:
    """An acknowledgement of the pictures, films and sounds of the last question."""
    last = next((message for message in reversed(ask.messages) if message.role == "user"), Message())
    kinds = [_SEEN[part["type"]] for part in last.parts if part["type"] in _SEEN]
    if not kinds:
        return ""
    zh = {"image": "张图片", "video": "段视频", "audio": "段音频"}
    counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    chinese = "、".join(f" {count} {zh[kind]}" for kind, count in counts.items())
    english = ", ".join(f"{count} {kind}" + "s" * (count > 1) for kind, count in counts.items())
    return ask.say(f"我收到了{chinese}。", f"I received {english}. ")


def _plain(ask: Ask, die: Random) -> str:
    for pattern, reply in _REPLIES:
        match = pattern.search(ask.text)
        said = reply(ask, match) if match else None
        if said is not None:
            return said
    short = ask.text if len(ask.text) <= 300 else ask.text[:300] + "……"
    if not short:
        return ask.say("请告诉我您的问题。", "Please tell me your question.")
    return ask.say(
        die.choice(
            [
                f"您问的是“{short}”。这是模拟引擎的回答：它不运行模型，只按照接口的样子把话说完整。",
                f"关于“{short}”：现在作答的是模拟引擎，内容只供联调；换上真实的模型，同样的请求会得到真正的回答。",
            ]
        ),
        die.choice(
            [
                f'You asked: "{short}". The simulator answers here: no model runs, but the interface behaves like the '
                "real one.",
                f'About "{short}": this is a rehearsal answer of the simulator. With a real model behind it, the same '
                "request gets a real answer.",
            ]
        ),
    )


def _counting(ask: Ask, match: re.Match[str]) -> str | None:
    numbers = [int(number) for number in match.groups() if number]
    first, last = (numbers[0], numbers[1]) if len(numbers) > 1 else (1, numbers[0])
    if not first <= last <= first + 5_000:
        return None
    return ask.say("、", ", ").join(str(number) for number in range(first, last + 1))


_FILLER = "This is a rehearsal text that says little and only fills the length that was asked for."


def _long(ask: Ask, match: re.Match[str]) -> str | None:
    size = min(int(match.group(1)), 20_000)
    if ask.chinese:
        line = "这是一段用来演练的文字，它不长不短，只为把篇幅写够。"
        return (line * (size // len(line) + 1))[:size]
    words = _FILLER.split()
    return " ".join(words[at % len(words)] for at in range(size))


def _called(ask: Ask, match: re.Match[str]) -> str | None:
    for message in reversed(ask.messages):
        name = evidence.introduced(message.text) if message.role == "user" else None
        if name:
            return ask.say(f"您叫{name}。", f"Your name is {name}.")
    return ask.say("您还没有告诉我您的名字。", "You have not told me your name yet.")


def _met(ask: Ask, match: re.Match[str]) -> str | None:
    name = evidence.introduced(ask.text)
    return ask.say(f"您好，{name}！很高兴认识您。", f"Hello {name}, nice to meet you!") if name else None


def _self(ask: Ask, match: re.Match[str]) -> str:
    return ask.say(
        f"我是 Qiao 的模拟引擎，这里扮演 {ask.model.name}：接口和真实服务一样，回答是演练用的。",
        f"I am Qiao's simulator, standing in for {ask.model.name}: a real interface with rehearsal answers.",
    )


def _sum(ask: Ask, match: re.Match[str]) -> str | None:
    done = [(sum_, evidence.worked_out(sum_)) for sum_ in evidence.sums(ask.text)]
    return ask.say("，", ", ").join(f"{sum_} = {value}" for sum_, value in done if value) or None


def _story(ask: Ask, match: re.Match[str]) -> str:
    return ask.say(
        "从前有一座桥，两岸说着不同的话。桥每天听人来人往，渐渐听懂了两边，便替他们传话。后来人们忘了隔着一条河，只记得桥。",
        "Once there was a bridge between two towns that spoke two languages. It listened for years, learnt both, and "
        "began to carry words as well as people. In the end nobody remembered the river.",
    )


def _code(ask: Ask, match: re.Match[str]) -> str:
    code = "```python\ndef add(a: int, b: int) -> int:\n    return a + b\n```"
    return ask.say(f"下面是一个示例函数：\n\n{code}\n", f"Here is a sample function:\n\n{code}\n")


_REPLIES: tuple[tuple[re.Pattern[str], Callable[[Ask, re.Match[str]], str | None]], ...] = (
    (re.compile(r"count (?:from (\d{1,9}) )?(?:up )?to (\d{1,9})", re.IGNORECASE), _counting),
    (re.compile(r"从\s*(\d{1,9})\s*数到\s*(\d{1,9})|数到\s*(\d{1,9})"), _counting),
    (re.compile(r"(\d{1,9})[ -]?(?:words?\b|个?字)"), _long),
    (
        re.compile(
            r"^(?:please )?(?:say|repeat|reply with|echo)(?: after me| only| just| exactly)?[:\s]+(.+)$", re.I | re.S
        ),
        lambda ask, match: match.group(1).strip(' "“”'),
    ),
    (
        re.compile(r"^请?(?:重复|跟我说|只回答|只回复|回复)(?:一遍)?[：:\s]*(.+)$", re.S),
        lambda ask, match: match.group(1).strip(' "“”'),
    ),
    (re.compile(r"(?:what(?:'s| is| was)|remember|know) my name|who am i\b", re.I), _called),
    (re.compile(r"我叫什么|我的名字(?:是什么|叫什么)|我是谁|记得我的名字"), _called),
    (re.compile(r"我叫|我的名字|\bmy name is|\bcall me", re.I), _met),
    (re.compile(r"你是谁|你叫什么|介绍(?:一下)?(?:你)?自己|who are you|what are you|introduce yourself", re.I), _self),
    (re.compile(r"\d\s*(?:\*\*|[-+*/×÷^%])\s*\(*-?\d"), _sum),
    (re.compile(r"故事|\bstory\b", re.I), _story),
    (re.compile(r"函数|代码|\bfunction\b|\bcode\b|\bpython\b", re.I), _code),
    (
        re.compile(r"^(?:你好|您好|嗨|hello|hi|hey)\b[，,!！。. ]*$|^(?:你好|您好|嗨)", re.I),
        lambda ask, match: ask.say("你好！有什么可以帮您？", "Hello! How can I help you?"),
    ),
)


def _instance(ask: Ask, schema: dict[str, Any]) -> str:
    builder = Builder(
        schema,
        lambda name, rules: evidence.find(ask.text, name, rules),
        fallback=ask.say("示例", "example"),
    )
    return _json(builder.build(schema))


def _like(ask: Ask) -> dict[str, Any]:
    """An object like the one that the prompt shows, or with the fields that it names in quotes, or a plain one."""
    shown = next((value for message in reversed(ask.messages) for value in _objects(message.text)), None)
    if shown is not None:
        found = {name: evidence.find(ask.text, name, {"type": "string"}) for name in shown}
        return {
            name: found[name][0] if found[name] and isinstance(value, str) else value for name, value in shown.items()
        }
    if "水果" in ask.text or "fruit" in ask.text.lower():
        fruits = ask.say("苹果 香蕉 橙子", "apple banana orange").split()
        return {"fruits": [{"name": name, "price": price} for name, price in zip(fruits, (6.5, 4.8, 7.2), strict=True)]}
    named = re.findall(r"[\"'`“]([A-Za-z_]\w{0,40})[\"'`”]", ask.text)
    fields = [name for name in dict.fromkeys(named) if name.lower() != "json"]
    filled = {name: next(iter(evidence.find(ask.text, name, {"type": "string"})), "...") for name in fields}
    return filled or {"question": ask.text, "answer": _plain(ask, dice(ask.seed))}


def _objects(text: str) -> list[dict[str, Any]]:
    """The JSON objects without nesting that stand in a text, the last first."""
    found: list[dict[str, Any]] = []
    for match in re.finditer(r"\{[^{}]*\}", text):
        try:
            value = msgspec.json.decode(match.group())
        except msgspec.DecodeError:
            continue
        if is_object(value) and value:
            found.insert(0, value)
    return found


# Enough to show a translation without a model; the first pair is the sample of the reference (§2.6.3).
_PHRASES = {
    "看完这个视频我没有笑": "I didn't laugh after watching this video.",
    "你好": "Hello",
    "谢谢": "Thank you",
    "早上好": "Good morning",
    "我爱你": "I love you",
}


def _translated(ask: Ask) -> str:
    options: dict[str, Any] = ask.values["translation_options"]
    memory = {**_PHRASES, **_pairs(options.get("tm_list"))}
    text = ask.text
    if text in memory and (str(options.get("target_lang", "")).lower() in {"english", "en"} or text not in _PHRASES):
        return memory[text]
    for source, target in _pairs(options.get("terms")).items():
        text = text.replace(source, target)
    return f"[{options.get('target_lang') or 'English'}] {text}"


def _pairs(items: Any) -> dict[str, str]:
    """The source → target pairs of `terms` and `tm_list`."""
    listed: list[Any] = items if check_messages.is_list(items) else []
    objects = [item for item in listed if is_object(item)]
    return {
        item["source"]: item["target"]
        for item in objects
        if isinstance(item.get("source"), str) and item["source"] and isinstance(item.get("target"), str)
    }


def _json(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=0).decode()
