// A model for Claude Code that is no model: asks for one call of the tool named on the command line with the
// diagram `hello`, and then answers with what the tool returned. Prints its address.

import http from "node:http";

const tool = process.argv[2];

/** The text of the tool's result, once the conversation has one. */
function returned({ messages = [] }) {
  const blocks = messages.flatMap(({ content }) => (Array.isArray(content) ? content : []));
  const result = blocks.findLast(({ type }) => type === "tool_result");
  if (!result) return undefined;
  if (typeof result.content === "string") return result.content;
  return result.content.map(({ text = "" }) => text).join("\n");
}

/** The events of one streamed answer. */
function* answer(request) {
  const text = returned(request);
  const has = (request.tools ?? []).some(({ name }) => name === tool);
  const message = { id: "msg_1", type: "message", role: "assistant", model: request.model, content: [], usage: { input_tokens: 1, output_tokens: 1 } };
  yield { type: "message_start", message };
  if (text === undefined && has) {
    yield { type: "content_block_start", index: 0, content_block: { type: "tool_use", id: "toolu_1", name: tool, input: {} } };
    yield { type: "content_block_delta", index: 0, delta: { type: "input_json_delta", partial_json: '{"diagram":"hello"}' } };
  } else {
    const said = text ?? `there is no tool ${tool}`;
    yield { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } };
    yield { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: said } };
  }
  yield { type: "content_block_stop", index: 0 };
  const stop_reason = text === undefined && has ? "tool_use" : "end_turn";
  yield { type: "message_delta", delta: { stop_reason, stop_sequence: null }, usage: { output_tokens: 1 } };
  yield { type: "message_stop" };
}

const server = http.createServer((incoming, outgoing) => {
  const parts = [];
  incoming.on("data", (part) => parts.push(part));
  incoming.on("end", () => {
    if (!incoming.url.startsWith("/v1/messages") || incoming.url.includes("count_tokens")) {
      outgoing.writeHead(404, { "content-type": "application/json" }).end('{"type":"error","error":{"type":"not_found_error","message":"no"}}');
      return;
    }
    const request = JSON.parse(Buffer.concat(parts).toString());
    const events = [...answer(request)];
    if (request.stream) {
      outgoing.writeHead(200, { "content-type": "text/event-stream" });
      for (const event of events) outgoing.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
      outgoing.end();
      return;
    }
    const { message } = events[0];
    const text = events.map(({ delta }) => delta?.text ?? "").join("");
    outgoing.writeHead(200, { "content-type": "application/json" });
    outgoing.end(JSON.stringify({ ...message, content: [{ type: "text", text: text || "ok" }], stop_reason: "end_turn" }));
  });
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
