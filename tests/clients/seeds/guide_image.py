"""An API guide's sample for images; this one carries its picture, so that nothing is fetched."""

from openai import OpenAI

RED = "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAIAAACQkWg2AAAAFklEQVR42mP4z8BAEmIY1TCqYfhqAACQ+f8B8u7oVwAAAABJRU5ErkJggg=="

client = OpenAI(api_key="sk-any", base_url="http://127.0.0.1:8000/compatible-mode/v1")
response = client.chat.completions.create(
    model="qwen-vl-plus",
    messages=[
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "这张图片中有什么？"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{RED}"}},
            ],
        }
    ],
)
print(response.choices[0].message.content)
