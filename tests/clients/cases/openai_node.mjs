// openai-node, against the newest release.
import assert from "node:assert/strict";

const { OpenAI } = globalThis.packages("openai");

const model = "qwen-plus";
const who = [{ role: "user", content: "你是谁？" }];
const think = [{ role: "user", content: "解释什么是机器学习" }];
const extract = [
  { role: "user", content: "用JSON返回这句话里的person、location、action：李四在上海找到了一份工作。" },
];
const names = ["person", "location", "action"];
const schema = {
  type: "object",
  properties: Object.fromEntries(names.map((name) => [name, { type: "string" }])),
  required: names,
  additionalProperties: false,
};
const image =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAIAAACQkWg2AAAAFklEQVR42mP4z8BAEmIY1TCqYfhqAACQ+f8B8u7oVwAAAABJRU5ErkJggg==";
const tool = (name, description, argument) => ({
  type: "function",
  function: {
    name,
    description,
    parameters: { type: "object", properties: { [argument]: { type: "string" } }, required: [argument] },
  },
});
const tools = [
  tool("get_current_weather", "查询指定城市的实时天气", "location"),
  tool("calculate", "执行数学计算", "expression"),
];
const both = [{ role: "user", content: "北京现在多少度？计算一下2+2等于多少" }];

const open = (server, settings = {}) =>
  new OpenAI({ baseURL: server.openai, apiKey: server.key, maxRetries: 0, timeout: 30_000, ...settings });

const ask = (server, body = {}) => open(server).chat.completions.create({ model, messages: who, ...body });

async function gather(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

export async function plain(server) {
  const completion = await ask(server);
  assert.ok(completion.choices[0].message.content);
  assert.equal(completion.choices[0].finish_reason, "stop");
  assert.equal(completion.usage.total_tokens, completion.usage.prompt_tokens + completion.usage.completion_tokens);
}

export async function system_prompt(server) {
  const messages = [{ role: "system", content: "You are a helpful assistant." }, ...who];
  assert.ok((await ask(server, { messages })).choices[0].message.content);
}

export async function many_turns(server) {
  const messages = [
    { role: "user", content: "你好，我叫诸葛明。" },
    { role: "assistant", content: "你好，诸葛明！" },
    { role: "user", content: "我叫什么名字？" },
  ];
  assert.ok((await ask(server, { messages })).choices[0].message.content);
}

export async function stream(server) {
  const chunks = await gather(await ask(server, { stream: true }));
  assert.ok(chunks.map((chunk) => chunk.choices[0]?.delta?.content ?? "").join(""));
  assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
}

export async function stream_with_usage(server) {
  const chunks = await gather(await ask(server, { stream: true, stream_options: { include_usage: true } }));
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.ok(chunks.at(-1).usage.total_tokens > 0);
}

export async function stream_left_early(server) {
  const stream = await ask(server, { stream: true });
  for await (const chunk of stream) {
    assert.ok(chunk.id);
    break;
  }
  assert.ok((await ask(server)).choices[0].message.content);
}

export async function tools_round_trip(server) {
  const first = (await ask(server, { messages: both, tools, parallel_tool_calls: true })).choices[0];
  assert.equal(first.finish_reason, "tool_calls");
  assert.deepEqual(
    first.message.tool_calls.map((call) => call.function.name),
    ["get_current_weather", "calculate"],
  );
  const results = first.message.tool_calls.map((call) => ({
    role: "tool",
    tool_call_id: call.id,
    content: JSON.stringify(JSON.parse(call.function.arguments)),
  }));
  const last = await ask(server, { messages: [...both, first.message, ...results], tools });
  assert.ok(last.choices[0].message.content);
}

export async function tools_streamed_in_parallel(server) {
  const runner = open(server).chat.completions.stream({ model, messages: both, tools, parallel_tool_calls: true });
  const { message, finish_reason } = (await runner.finalChatCompletion()).choices[0];
  assert.equal(finish_reason, "tool_calls");
  assert.equal(message.tool_calls.length, 2);
  for (const call of message.tool_calls) JSON.parse(call.function.arguments);
}

export async function thinking_streamed(server) {
  const chunks = await gather(await ask(server, { messages: think, stream: true, enable_thinking: true }));
  const deltas = chunks.map((chunk) => chunk.choices[0].delta);
  const thought = deltas.findLastIndex((delta) => delta.reasoning_content);
  const answer = deltas.findIndex((delta) => delta.content);
  assert.ok(thought >= 0 && thought < answer, `thought ends at ${thought}, answer begins at ${answer}`);
}

export async function json_object(server) {
  const completion = await ask(server, { messages: extract, response_format: { type: "json_object" } });
  JSON.parse(completion.choices[0].message.content);
}

export async function json_schema(server) {
  const wanted = { type: "json_schema", json_schema: { name: "event", strict: true, schema } };
  const completion = await open(server).chat.completions.parse({ model, messages: extract, response_format: wanted });
  assert.deepEqual(Object.keys(JSON.parse(completion.choices[0].message.content)).toSorted(), names.toSorted());
}

export async function image_part(server) {
  const content = [
    { type: "image_url", image_url: { url: image } },
    { type: "text", text: "这张图片中有什么？" },
  ];
  const completion = await ask(server, { model: "qwen-vl-plus", messages: [{ role: "user", content }] });
  assert.ok(completion.choices[0].message.content);
}

export async function max_tokens(server) {
  const completion = await ask(server, { max_tokens: 3 });
  assert.equal(completion.choices[0].finish_reason, "length");
}

export async function two_choices(server) {
  assert.equal((await ask(server, { n: 2 })).choices.length, 2);
}

export async function wrong_key_is_authentication_error(server) {
  const wrong = open(server, { apiKey: "sk-wrong" });
  await assert.rejects(wrong.chat.completions.create({ model, messages: who }), OpenAI.AuthenticationError);
}

export async function unknown_model_is_not_found_error(server) {
  await assert.rejects(ask(server, { model: "no-such-model" }), OpenAI.NotFoundError);
}

export async function bad_parameter_is_bad_request_error(server) {
  await assert.rejects(ask(server, { temperature: 3 }), OpenAI.BadRequestError);
  await assert.rejects(ask(server, { temperature: 3, stream: true }), OpenAI.BadRequestError);
}

export async function models_list(server) {
  const listed = await gather(await open(server).models.list());
  assert.ok(listed.some((listing) => listing.id === model));
}

export async function fault_429_is_rate_limit_error(server) {
  await assert.rejects(ask(server, { model: `${model}!429` }), OpenAI.RateLimitError);
}
