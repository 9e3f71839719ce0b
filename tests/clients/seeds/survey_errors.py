"""A survey's errors: which exception means what, and which of them is worth another try."""

import time

from openai import APIConnectionError, APIError, OpenAI, RateLimitError

client = OpenAI(api_key="sk-any", base_url="http://127.0.0.1:8000/compatible-mode/v1")


def call_with_retry(messages, max_retries=3, delay=0.1):
    for attempt in range(max_retries):
        try:
            return client.chat.completions.create(
                model="qwen-plus", messages=messages, temperature=0.7, max_tokens=2000, timeout=30
            )
        except (RateLimitError, APIConnectionError):
            if attempt == max_retries - 1:
                raise
            time.sleep(delay * 2**attempt)
        except APIError as error:
            told = next((text for text in ("401", "400", "503") if text in str(error)), "another")
            raise SystemExit(f"{told}: {error}") from error
    return None


print(call_with_retry([{"role": "user", "content": "你好"}]).choices[0].message.content)
