// Live events as foreign programs hear them: `curl -N`, the `EventSource` and the `WebSocket` of node, and the
// `EventSource` of a real browser. Each follows a run that waits for an answer, comes back after a cut where it can, and
// must have every event once, in order, and stop asking when the run is over. Started by `run`, which sets SERVER_URL
// and, when there is a browser, CHROMIUM and CLIENTS_DIR. One line per pass; the first surprise ends the program.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import http from "node:http";

const origin = new URL(process.env.SERVER_URL).origin;
const path = (id) => `/api/v1/executions/${id}/events`;

const ASKS = `version: light
nodes:
- {label: start, type: start}
- {label: ask, type: user_response, prompt: "Well?"}
- {label: end, type: endpoint}
connections:
- {from: start, to: ask}
- {from: ask, to: end}
`;

let nextId = 1;

async function call(name, args) {
  const meta = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": { name: "events", version: "1" },
  };
  const response = await fetch(process.env.SERVER_URL, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      "mcp-protocol-version": "2026-07-28",
      "mcp-method": "tools/call",
      "mcp-name": name,
    },
    body: JSON.stringify({
      jsonrpc: "2.0",
      id: nextId++,
      method: "tools/call",
      params: { name, arguments: args, _meta: meta },
    }),
  });
  const { result } = await response.json();
  assert.ok(result?.structuredContent, JSON.stringify(result));
  return result.structuredContent;
}

const started = async () => (await call("dipeo_run", { content: ASKS })).execution_id;
const answered = (id) => call("control_execution", { execution_id: id, action: "answer", value: "fine" });

function whole(name, events) {
  assert.deepEqual(events.map((it) => it.seq), events.map((_, at) => at + 1), name);
  assert.equal(events.at(-1).event, "execution_completed", name);
  console.log(`events: ${name}: ${events.length} events, each once`);
}

// --- curl -----------------------------------------------------------------------------------------------------

async function curl() {
  const id = await started();
  const process = spawn("curl", ["--silent", "--no-buffer", "--fail", origin + path(id)]);
  let text = "";
  let isAnswered = false;
  process.stdout.setEncoding("utf8").on("data", (piece) => {
    text += piece;
    if (!isAnswered && text.includes("event: execution_paused\n")) {
      isAnswered = true;
      answered(id);
    }
  });
  const code = await new Promise((done) => process.on("close", done));
  assert.equal(code, 0);
  const records = text.split("\n\n").filter((it) => it && !it.startsWith(":"));
  whole("curl -N", records.map((record) => {
    const field = (name) => record.split("\n").find((it) => it.startsWith(`${name}: `)).slice(name.length + 2);
    return { seq: Number(field("id")), event: field("event") };
  }));
}

// --- EventSource ------------------------------------------------------------------------------------------------

const PHASES = [
  "execution_started", "execution_paused", "execution_resumed", "execution_completed", "node_started",
  "node_completed", "interactive_prompt", "interactive_response",
];

// Runs where there is an EventSource, and is sent to a browser as text. Resolves when the source has given up for good.
function listen(url, phases) {
  return new Promise((done) => {
    const events = [];
    let opened = 0;
    const source = new EventSource(url);
    source.onopen = () => opened++;
    for (const phase of phases) {
      source.addEventListener(phase, (it) => {
        events.push({ seq: Number(it.lastEventId), event: phase });
        globalThis.heard?.(phase);
      });
    }
    // Not every implementation says that it has given up after a 204.
    const look = setInterval(() => {
      if (source.readyState !== EventSource.CLOSED) return;
      clearInterval(look);
      done({ events, opened });
    }, 50);
  });
}

// A proxy that cuts each stream after some bytes, so that the source has to come back.
function cutting(limit) {
  let cuts = 0;
  const proxy = http.createServer((request, response) => {
    const headers = { ...request.headers, host: new URL(origin).host };
    delete headers.origin;
    http.get(origin + request.url, { headers }, (answer) => {
      response.writeHead(answer.statusCode, { ...answer.headers, "access-control-allow-origin": "*" });
      let left = limit;
      answer.on("data", (piece) => {
        if (left <= 0) return;
        const rest = piece.subarray(0, left);
        left -= piece.length;
        if (left > 0) return response.write(rest);
        cuts++;
        answer.destroy();
        // Cut once what came before is on its way.
        response.write(rest, () => response.destroy());
      });
      answer.on("end", () => response.end());
      answer.on("error", () => response.destroy());
    });
  });
  return new Promise((ready) =>
    proxy.listen(0, "127.0.0.1", () => ready({ proxy, url: `http://127.0.0.1:${proxy.address().port}`, cuts: () => cuts })),
  );
}

async function eventSource(name, heardBy) {
  const id = await started();
  const { events } = await heardBy(origin + path(id), (phase) => phase === "execution_paused" && answered(id));
  whole(name, events);
  const again = await started();
  const { proxy, url, cuts } = await cutting(1_500);
  const cut = await heardBy(url + path(again), (phase) => phase === "execution_paused" && answered(again));
  proxy.close();
  assert.ok(cuts() > 0 && cut.opened > 1, `${name}: cut ${cuts()} times, opened ${cut.opened}, ${JSON.stringify(cut.events)}`);
  whole(`${name}, cut ${cuts()} times`, cut.events);
}

async function inNode(url, heard) {
  globalThis.heard = heard;
  return listen(url, PHASES);
}

async function inBrowser() {
  const require = createRequire(`${process.env.CLIENTS_DIR}/browser/package.json`);
  const { chromium } = require("playwright-core");
  // The browser's own sandbox cannot start for the superuser.
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args });
  try {
    await eventSource("EventSource in Chromium", async (url, heard) => {
      const page = await browser.newPage();
      await page.exposeFunction("heard", heard);
      await page.goto(`${origin}/health`);
      const found = await page.evaluate(`(${listen})(${JSON.stringify(url)}, ${JSON.stringify(PHASES)})`);
      await page.close();
      return found;
    });
  } finally {
    await browser.close();
  }
}

// --- WebSocket ------------------------------------------------------------------------------------------------------

async function webSocket() {
  const id = await started();
  const socket = new WebSocket(`${origin.replace("http", "ws")}/ws`);
  const events = [];
  await new Promise((done, failed) => {
    socket.onerror = failed;
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(data);
      if (frame.type === "ready") socket.send(JSON.stringify({ type: "subscribe", topic: `execution:${id}` }));
      if (frame.type === "event") events.push(frame);
      if (frame.event === "execution_paused") {
        socket.send(JSON.stringify({ type: "control", execution_id: id, action: "answer", value: "fine" }));
      }
      if (frame.type === "result") assert.ok(frame.ok, data);
      if (frame.type === "unsubscribed") done();
    };
  });
  socket.close();
  whole("WebSocket of node", events);
}

if (process.env.CURL) await curl();
else console.log("events: curl skipped, it is not installed");
await eventSource("EventSource of node", inNode);
await webSocket();
if (process.env.CHROMIUM) await inBrowser();
else console.log("events: Chromium skipped, none of chromium, chromium-browser and google-chrome; set CHROMIUM to a browser");
