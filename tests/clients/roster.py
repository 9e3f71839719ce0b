"""The third-party clients that the suite drives, each unmodified, and where each of them lives."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ENGINES = ("simulator", "http", "local")
# Cases by the beginning of their names, and the engines that can be asked them; the others go to every engine.
ONLY = {
    "fault_": ("simulator", "http"),  # rehearsed by the simulator, in front or behind
    "vector_": ("simulator", "http"),  # the built-in model only chats
}


@dataclass(frozen=True, slots=True)
class Client:
    """One client: its package, the environment that holds it, and the file whose public functions are its cases."""

    name: str
    label: str
    environment: str  # a folder of environments/, or "main": the development environment itself
    cases: str  # a file of cases/
    packages: tuple[str, ...] = ()

    def case_names(self, engine: str) -> list[str]:
        """The cases that an engine can be asked."""
        return [
            name for name in self._names() if all(engine in ONLY[start] for start in ONLY if name.startswith(start))
        ]

    def _names(self) -> list[str]:
        """In order of appearance, read from the source: the client may not be installed here."""
        source = (HERE / "cases" / self.cases).read_text("utf-8")
        if self.cases.endswith(".mjs"):
            return re.findall(r"^export async function (\w+)", source, re.MULTILINE)
        return [
            node.name
            for node in ast.parse(source).body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
        ]


CLIENTS = (
    Client("openai-3", "openai SDK, newest", "main", "openai_sdk.py", ("openai",)),
    Client("openai-1", "openai SDK 1.54", "openai-1", "openai_sdk.py", ("openai",)),
    Client("dashscope-module", "dashscope SDK, module-level API", "main", "dashscope_module.py", ("dashscope",)),
    Client("dashscope-client", "dashscope SDK, `Client`", "main", "dashscope_client.py", ("dashscope",)),
    Client("dashscope-1", "dashscope SDK 1.22", "llamaindex", "dashscope_module.py", ("dashscope",)),
    Client("curl", "curl", "main", "curl_command.py"),
    Client("openai-node", "openai-node", "node", "openai_node.mjs", ("openai",)),
    Client("chattongyi", "LangChain ChatTongyi", "langchain", "langchain_tongyi.py", ("langchain-community",)),
    Client("chatopenai", "LangChain ChatOpenAI", "langchain", "langchain_openai_chat.py", ("langchain-openai",)),
    Client("chatqwen", "LangChain ChatQwen", "langchain", "langchain_qwen.py", ("langchain-qwq",)),
    Client("llamaindex", "LlamaIndex DashScope", "llamaindex", "llamaindex.py", ("llama-index-llms-dashscope",)),
    Client("agentscope", "AgentScope", "agents", "agentscope_model.py", ("agentscope",)),
    Client("qwen-agent", "Qwen-Agent", "agents", "qwen_agent_llm.py", ("qwen-agent",)),
    Client("llm", "llm CLI", "langchain", "llm_command.py", ("llm",)),
    Client("qwen-code", "qwen-code", "node", "qwen_code.py", ("@qwen-code/qwen-code",)),
)


def named(name: str) -> Client:
    return next(client for client in CLIENTS if client.name == name)
