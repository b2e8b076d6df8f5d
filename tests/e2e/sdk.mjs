// Drives the official OpenAI SDK for Node, unmodified. One call per run:
//   node sdk.mjs '{"baseURL": "...", "call": "chat", "model": "...", "maxRetries": 0}'
// prints one JSON object: {"ok": ...} with what the SDK returned, or {"raised": {...}}.
import OpenAI from "openai";

const messages = [{ role: "user", content: "Say hello." }];

const calls = {
  async chat(client, model) {
    const completion = await client.chat.completions.create({ model, messages });
    return completion.choices[0].message.content;
  },
  async stream(client, model) {
    const stream = await client.chat.completions.create({ model, messages, stream: true });
    let text = "";
    for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? "";
    return text;
  },
  async response(client, model) {
    return (await client.responses.create({ model, input: "Say hello." })).output_text;
  },
  // Every event, so that a test can look at what came before a failure.
  async responseStream(client, model) {
    const stream = client.responses.stream({ model, input: "Say hello." });
    const types = [];
    for await (const event of stream) types.push(event.type);
    const response = await stream.finalResponse();
    return { text: response.output_text, last: types.at(-1), usage: response.usage };
  },
  async responseTools(client, model) {
    const tools = [{ type: "function", name: "weather", parameters: { type: "object" }, strict: false }];
    const input = [{ role: "user", content: "Weather?" }];
    const first = await client.responses.create({ model, input, tools });
    const called = first.output.filter((item) => item.type === "function_call");
    input.push(...first.output);
    for (const { call_id } of called) {
      input.push({ type: "function_call_output", call_id, output: "rain" });
    }
    const second = await client.responses.create({ model, input, tools });
    return { called: called.map((item) => item.arguments), text: second.output_text };
  },
  async responseParse(client, model) {
    const schema = { type: "object", properties: { name: { type: "string" } } };
    const format = { type: "json_schema", name: "city", schema };
    const response = await client.responses.parse({ model, input: "Where?", text: { format } });
    return JSON.parse(response.output_text);
  },
  async embedding(client, model) {
    const answer = await client.embeddings.create({ model, input: ["one", "two"] });
    return answer.data.map((item) => item.embedding);
  },
  async models(client) {
    const names = [];
    for await (const model of client.models.list()) names.push(model.id);
    return names;
  },
};

const { baseURL, call, model, maxRetries } = JSON.parse(process.argv[2]);
const client = new OpenAI({ baseURL, apiKey: "unused", maxRetries });
let outcome;
try {
  outcome = { ok: await calls[call](client, model) };
} catch (error) {
  const { status, code, type, message, requestID } = error;
  outcome = {
    raised: { name: error.constructor.name, status, code, type, message, requestID, body: error.error },
  };
}
console.log(JSON.stringify(outcome));
