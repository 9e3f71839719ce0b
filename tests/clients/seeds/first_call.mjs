// The first call, with openai-node.
import OpenAI from "openai";

const openai = new OpenAI({ apiKey: "sk-any", baseURL: "http://127.0.0.1:8000/compatible-mode/v1" });
const completion = await openai.chat.completions.create({
  model: "qwen-plus",
  messages: [
    { role: "system", content: "You are a helpful assistant." },
    { role: "user", content: "你是谁？" },
  ],
});
console.log(completion.choices[0].message.content);
