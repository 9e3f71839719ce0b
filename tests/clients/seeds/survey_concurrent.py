"""A survey's questions asked at once."""

import asyncio

from openai import AsyncOpenAI

client = AsyncOpenAI(api_key="sk-any", base_url="http://127.0.0.1:8000/compatible-mode/v1")


async def ask(prompt):
    response = await client.chat.completions.create(
        model="qwen-plus", messages=[{"role": "user", "content": prompt}], timeout=30
    )
    return response.choices[0].message.content


async def main():
    for answer in await asyncio.gather(*map(ask, ["简述Python的特点", "什么是机器学习", "解释什么是REST API"])):
        print(answer)


asyncio.run(main())
