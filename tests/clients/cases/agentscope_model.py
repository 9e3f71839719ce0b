"""AgentScope's DashScope chat model, alone and inside an agent."""

from __future__ import annotations

import asked
import openai
from agentscope.agent import Agent
from agentscope.credential import DashScopeCredential
from agentscope.message import (
    AssistantMsg,
    Base64Source,
    DataBlock,
    SystemMsg,
    TextBlock,
    ToolCallBlock,
    ToolResultBlock,
    UserMsg,
)
from agentscope.model import DashScopeChatModel
from agentscope.tool import FunctionTool, Toolkit


def _model(server, *, stream: bool = False, key: str | None = None, model: str = asked.MODEL, **parameters):
    return DashScopeChatModel(
        DashScopeCredential(api_key=key or server.key, base_url=server.openai),
        model,
        parameters=DashScopeChatModel.Parameters(**parameters),
        stream=stream,
        max_retries=0,
        client_kwargs={"max_retries": 0, "timeout": 30},
    )


def _user(content) -> UserMsg:
    return UserMsg("user", content)


def _text(response) -> str:
    return "".join(block.text for block in response.content if block.type == "text")


def _blocks(response, kind: str) -> list:
    return [block for block in response.content if block.type == kind]


async def _last(stream):
    last = None
    async for response in stream:
        last = response
    assert last is not None
    assert last.is_last
    return last


async def plain(server):
    response = await _model(server)([_user("你是谁？")])
    assert _text(response)
    assert response.usage.output_tokens > 0


async def system_prompt(server):
    messages = [SystemMsg("system", "You are a helpful assistant."), _user("Hello")]
    assert _text(await _model(server)(messages))


async def many_turns(server):
    messages = [_user("你好，我叫诸葛明。"), AssistantMsg("qiao", "你好，诸葛明！"), _user("我叫什么名字？")]
    assert _text(await _model(server)(messages))


async def stream(server):
    last = await _last(await _model(server, stream=True)([_user("你是谁？")]))
    assert _text(last)
    assert last.usage.output_tokens > 0


async def thinking_streamed(server):
    model = _model(server, stream=True, thinking_enable=True)
    last = await _last(await model([_user(asked.THINK[0]["content"])]))
    assert _blocks(last, "thinking")[0].thinking
    assert _text(last)


async def tools_in_parallel(server):
    # This client's parameter says parallel, and then leaves the field out: the server's default would be one call.
    response = await _model(server)([_user(asked.BOTH_QUESTION)], tools=asked.TOOLS, parallel_tool_calls=True)
    assert [call.name for call in _blocks(response, "tool_call")] == ["get_current_weather", "calculate"]


async def tools_round_trip_streamed(server):
    model, question = _model(server, stream=True), _user(asked.WEATHER_QUESTION)
    [call] = _blocks(await _last(await model([question], tools=asked.TOOLS)), "tool_call")
    result = asked.result_of(call.name, call.input)
    answer = AssistantMsg(
        "qiao",
        [
            ToolCallBlock(id=call.id, name=call.name, input=call.input),
            ToolResultBlock(id=call.id, name=call.name, output=[TextBlock(text=result)]),
        ],
    )
    assert _text(await _last(await model([question, answer], tools=asked.TOOLS)))


async def image(server):
    picture = DataBlock(source=Base64Source(data=asked.PIXELS, media_type="image/png"))
    message = _user([picture, TextBlock(text=asked.LOOK)])
    assert _text(await _model(server, model=asked.VISION_MODEL)([message]))


async def agent_with_a_tool(server):
    def get_current_weather(location: str) -> str:
        """查询指定城市的实时天气

        Args:
            location: 城市名称，如北京、上海等
        """
        return f"{location}天气：多云，温度18°C"

    agent = Agent(
        "qiao",
        "You are a helpful assistant.",
        _model(server, stream=True),
        toolkit=Toolkit(tools=[FunctionTool(get_current_weather)]),
    )
    reply = await agent.reply(_user("你是谁？"))
    assert reply.get_text_content()


async def wrong_key_is_authentication_error(server):
    with asked.raises(openai.AuthenticationError):
        await _model(server, key=asked.WRONG_KEY)([_user("你好")])
