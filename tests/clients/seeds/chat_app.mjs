// A chat application's server route: the model's stream becomes events for the browser, its errors become statuses.
import { createServer } from "node:http";
import OpenAI from "openai";

const baseURL = "http://127.0.0.1:8000/compatible-mode/v1";

const answer = (apiKey) => async (request, response) => {
  try {
    const client = new OpenAI({ apiKey, baseURL });
    const stream = await client.chat.completions.create({
      model: "qwen-max",
      messages: [
        { role: "system", content: "You are a helpful assistant." },
        { role: "user", content: "Hello!" },
      ],
      stream: true,
    });
    response.setHeader("Content-Type", "text/event-stream");
    response.setHeader("Cache-Control", "no-cache");
    for await (const chunk of stream) {
      const content = chunk.choices[0]?.delta?.content;
      if (content) response.write(`data: ${JSON.stringify({ content })}\n\n`);
    }
    response.end("data: [DONE]\n\n");
  } catch (error) {
    response.statusCode = error.status === 401 ? 401 : 500;
    response.end(JSON.stringify({ error: "Authentication failed. Please check your API key." }));
  }
};

async function visit(apiKey) {
  const server = createServer(answer(apiKey)).listen(0, "127.0.0.1");
  await new Promise((ready) => server.once("listening", ready));
  const page = await fetch(`http://127.0.0.1:${server.address().port}/`);
  const text = await page.text();
  server.close();
  return [page.status, text];
}

const [status, text] = await visit("sk-any");
if (status !== 200 || !text.endsWith("data: [DONE]\n\n")) throw new Error(text);
const [refused] = await visit("sk-not-this-one");
if (refused !== 401) throw new Error(`status ${refused}`);
console.log(text);
