// Drives the official Anthropic SDK and the Vercel AI SDK, unmodified, several calls at once:
//   node sdk_jobs.mjs '{"origin": "http://...", "jobs": [{"call": "messages", "model": "..."}]}'
// prints a JSON list in the order of the jobs: {"ok": ...} with what the SDK returned, or
// {"raised": {...}}.
import Anthropic from "@anthropic-ai/sdk";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const { origin, jobs } = JSON.parse(process.argv[2]);
const prompt = "Say hello.";
const asked = { max_tokens: 100, messages: [{ role: "user", content: prompt }] };
const weather = {
  name: "weather",
  description: "Looks the weather up.",
  input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};

function textOf(message) {
  return message.content.map((block) => block.text ?? "").join("");
}

async function messagesTools(client, model, ask) {
  const messages = [...asked.messages];
  const first = await ask({ ...asked, model, messages, tools: [weather] });
  const called = first.content.filter((block) => block.type === "tool_use");
  messages.push({ role: "assistant", content: first.content });
  const content = called.map(({ id, input }) => ({
    type: "tool_result",
    tool_use_id: id,
    content: `rain in ${input.city}`,
  }));
  messages.push({ role: "user", content });
  const second = await ask({ ...asked, model, messages, tools: [weather] });
  const cities = called.map((block) => block.input.city);
  return { called: cities, stop: first.stop_reason, text: textOf(second) };
}

const anthropic = {
  async messages(client, model) {
    return textOf(await client.messages.create({ ...asked, model }));
  },
  async messagesStream(client, model) {
    return textOf(await client.messages.stream({ ...asked, model }).finalMessage());
  },
  messagesTools(client, model) {
    return messagesTools(client, model, (request) => client.messages.create(request));
  },
  messagesToolsStream(client, model) {
    const ask = (request) => client.messages.stream(request).finalMessage();
    return messagesTools(client, model, ask);
  },
};

function toolbox() {
  const weather = tool({
    description: "Looks the weather up.",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => `rain in ${city}`,
  });
  return { tools: { weather }, stopWhen: stepCountIs(3) };
}

// The AI SDK tells of a failed stream through onError and an error part; the text just ends.
async function readStream(options) {
  let failure;
  const result = streamText({ ...options, onError: ({ error }) => void (failure = error) });
  let text = "";
  for await (const piece of result.textStream) text += piece;
  if (failure) throw failure;
  return { text, finish: await result.finishReason };
}

const vercel = {
  async generate(options) {
    const { text, finishReason } = await generateText(options);
    return { text, finish: finishReason };
  },
  stream: readStream,
  generateTools(options) {
    return vercel.generate({ ...options, ...toolbox() });
  },
  streamTools(options) {
    return readStream({ ...options, ...toolbox() });
  },
};

function start({ call, model, maxRetries }) {
  if (anthropic[call]) {
    const client = new Anthropic({ baseURL: origin, apiKey: "unused", maxRetries });
    return anthropic[call](client, model);
  }
  const openai = createOpenAI({ baseURL: `${origin}/v1`, apiKey: "unused" });
  const [api, verb] = call.split(".");
  return vercel[verb]({ model: openai[api](model), prompt, maxRetries });
}

async function run(job) {
  try {
    return { ok: await start(job) };
  } catch (caught) {
    const error = caught.lastError ?? caught;
    const { status = error.statusCode, type, message, requestID, isRetryable } = error;
    const body = error.error ?? error.data;
    const name = error.constructor.name;
    return { raised: { name, status, type, message, requestID, isRetryable, body } };
  }
}

console.log(JSON.stringify(await Promise.all(jobs.map(run))));
