import asyncio

from agentscope.agent import Agent
from agentscope.credential import DashScopeCredential
from agentscope.message import UserMsg
from agentscope.model import DashScopeChatModel

credential = DashScopeCredential(base_url="http://127.0.0.1:8000/compatible-mode/v1", api_key="sk-any")
agent = Agent("qiao", "You are a helpful assistant.", DashScopeChatModel(credential, "qwen-plus"))
reply = asyncio.run(agent.reply(UserMsg("user", "你是谁？")))
print(reply.get_text_content())
