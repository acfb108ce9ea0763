// The official TypeScript client (`@modelcontextprotocol/client`) against dipeo, on stdio and on HTTP, in three
// modes. Started by `run`, which sets DIPEO_BIN, SERVER_URL, SERVER_WORKSPACE and CLIENTS_DIR. One line per
// pass; the first surprise ends the program with a trace.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The packages live below target/, not beside this file.
const require = createRequire(`${process.env.CLIENTS_DIR}/typescript/package.json`);
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { Client, StreamableHTTPClientTransport } = await load("@modelcontextprotocol/client");
const { StdioClientTransport } = await load("@modelcontextprotocol/client/stdio");

const TOOLS = ["dipeo_run", "see_result", "control_execution", "compile_diagram", "search", "fetch"];

// Waits for its caller, so that there is something to see and to answer.
const ASKS = `version: light
persons:
  Guest: {service: caller}
nodes:
- {label: start, type: start, custom_data: {topic: tea}}
- {label: ask, type: person_job, person: Guest, default_prompt: "Best {{topic}}?", max_iteration: 1}
- {label: end, type: endpoint}
connections:
- {from: start, to: ask}
- {from: ask, to: end}
`;

// Computes until its time is up, so that progress can be seen.
const SPINS = `version: light
nodes:
- {label: start, type: start}
- {label: spin, type: code_job, code: "while True:\\n    pass"}
- {label: end, type: endpoint}
connections:
- {from: start, to: spin}
- {from: spin, to: end}
`;

const transports = {
  stdio: () =>
    new StdioClientTransport({
      command: process.env.DIPEO_BIN,
      args: ["mcp"],
      cwd: process.env.SERVER_WORKSPACE,
      env: process.env,
      stderr: "ignore",
    }),
  http: () => new StreamableHTTPClientTransport(new URL(process.env.SERVER_URL)),
};

async function check(transport, label, mode) {
  const client = new Client({ name: "typescript", version: "1" }, { versionNegotiation: { mode } });
  await client.connect(transports[transport]());
  try {
    const { tools } = await client.listTools();
    assert.deepEqual(tools.map((tool) => tool.name), TOOLS);

    const run = await client.callTool({ name: "dipeo_run", arguments: { diagram: "hello" } });
    assert.equal(run.structuredContent.status, "completed", JSON.stringify(run));
    assert.deepEqual(JSON.parse(run.content[0].text), run.structuredContent);

    const page = await client.readResource({ uri: "dipeo://diagrams/hello" });
    assert.match(page.contents[0].text, /version: light/);

    const paused = (await client.callTool({ name: "dipeo_run", arguments: { content: ASKS } })).structuredContent;
    assert.equal(paused.pause_reason, "model", JSON.stringify(paused));
    const answer = { execution_id: paused.execution_id, action: "answer", value: "Assam" };
    const ended = await client.callTool({ name: "control_execution", arguments: answer });
    assert.equal(ended.structuredContent.status, "completed", JSON.stringify(ended));

    const seen = [];
    const failed = await client.callTool(
      { name: "dipeo_run", arguments: { content: SPINS, timeout: 2 } },
      { onprogress: ({ progress }) => seen.push(progress) },
    );
    assert.equal(failed.isError, true, JSON.stringify(failed));
    assert.equal(failed.structuredContent.status, "failed");
    assert.ok(seen.length > 0, "no progress");
    assert.deepEqual(seen, [...new Set(seen)].sort((a, b) => a - b));

    const wrong = await client.callTool({ name: "see_result", arguments: { execution_idd: "x" } });
    assert.equal(wrong.isError, true);
    assert.match(wrong.content[0].text, /did you mean `execution_id`\?/);

    const prompt = await client.getPrompt({ name: "fix_diagram", arguments: { name: "hello" } });
    assert.match(prompt.messages[0].content.text, /`hello`/);
  } finally {
    await client.close();
  }
  console.log(`typescript ${transport} ${label}: ok`);
}

for (const [label, mode] of [["auto", "auto"], ["legacy", "legacy"], ["pinned", { pin: "2026-07-28" }]]) {
  for (const transport of Object.keys(transports)) {
    await check(transport, label, mode);
  }
}
