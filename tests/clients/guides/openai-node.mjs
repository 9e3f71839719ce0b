import OpenAI from "openai";

const client = new OpenAI({ baseURL: "http://127.0.0.1:8000/compatible-mode/v1", apiKey: "sk-any" });

const stream = await client.chat.completions.create({
  model: "qwen-plus",
  messages: [{ role: "user", content: "你是谁？" }],
  stream: true,
});
for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
}
