// A chat page without an SDK: fetch, and the events taken from the response as they arrive.
const response = await fetch("http://127.0.0.1:8000/compatible-mode/v1/chat/completions", {
  method: "POST",
  headers: { "Content-Type": "application/json", Authorization: "Bearer sk-any" },
  body: JSON.stringify({
    model: "qwen-plus",
    // The page keeps its own fields in the messages; the server is to overlook them.
    messages: [{ role: "user", content: "你好", id: "q1", msgStatus: "finished" }],
    stream: true,
  }),
});

let waiting = "";
let answer = { content: "", msgStatus: "generating" };
for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
  const events = (waiting + text).split("\n\n");
  waiting = events.pop();
  for (const event of events) {
    const data = event.replace(/^data: /, "");
    if (data === "[DONE]") break;
    const choice = JSON.parse(data).choices[0];
    answer.content += choice?.delta?.content || "";
    if (choice?.finish_reason === "stop") answer.msgStatus = "finished";
  }
}
if (answer.msgStatus !== "finished") throw new Error("the answer has no end");
console.log(answer.content);
