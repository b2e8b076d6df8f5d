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
