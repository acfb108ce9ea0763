// The older official TypeScript client (`@modelcontextprotocol/sdk`, revisions with sessions) against dipeo:
// `stdio`, `http`, `bridge`, which is stdio through the program `mcp-remote` to HTTP, and `packed`, which starts what
// the manifest of an unpacked bundle says. Started by `run` with the name to print and the transports. The first
// surprise ends the program with a trace.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const { CLIENTS_DIR, CLIENT_HOME, DIPEO_BIN, SERVER_URL, SERVER_WORKSPACE } = process.env;
// The packages live below target/, not beside this file.
const require = createRequire(`${CLIENTS_DIR}/sdk/package.json`);
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { Client } = await load("@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = await load("@modelcontextprotocol/sdk/client/stdio.js");
const { StreamableHTTPClientTransport } = await load("@modelcontextprotocol/sdk/client/streamableHttp.js");

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

const child = (command, args) =>
  new StdioClientTransport({ command, args, cwd: SERVER_WORKSPACE, env: process.env, stderr: "ignore" });

const transports = {
  stdio: () => child(DIPEO_BIN, ["mcp"]),
  http: () => new StreamableHTTPClientTransport(new URL(SERVER_URL)),
  bridge: () => {
    process.env.MCP_REMOTE_CONFIG_DIR = CLIENT_HOME;
    const program = createRequire(`${CLIENTS_DIR}/mcp-remote/package.json`).resolve("mcp-remote/package.json");
    const { bin } = require(program);
    const script = program.replace("package.json", typeof bin === "string" ? bin : bin["mcp-remote"]);
    return child(process.execPath, [script, SERVER_URL, "--allow-http", "--transport", "http-only"]);
  },
  packed: () => {
    const folder = `${CLIENT_HOME}/unpacked`;
    const manifest = JSON.parse(readFileSync(`${folder}/manifest.json`, "utf8"));
    const { command, args, env } = manifest.server.mcp_config;
    const workspace = manifest.user_config.workspace.default.replace("${HOME}", CLIENT_HOME);
    const filled = (text) => text.replace("${__dirname}", folder).replace("${user_config.workspace}", workspace);
    Object.assign(process.env, Object.fromEntries(Object.entries(env).map(([key, it]) => [key, filled(it)])));
    return child(filled(command), args.map(filled));
  },
};

// A schema that a client cannot read is only complained of on the console.
const complaints = [];
for (const level of ["warn", "error"]) console[level] = (...words) => complaints.push(words.join(" "));

async function check(name, transport) {
  const client = new Client({ name, version: "1" });
  await client.connect(transports[transport]());
  try {
    const { tools } = await client.listTools();
    assert.deepEqual(tools.map((tool) => tool.name), TOOLS);

    const seen = [];
    const run = await client.callTool({ name: "dipeo_run", arguments: { diagram: "hello" } }, undefined, {
      onprogress: ({ progress }) => seen.push(progress),
    });
    assert.equal(run.structuredContent.status, "completed", JSON.stringify(run));
    assert.ok(run.structuredContent.outputs, JSON.stringify(run));
    assert.deepEqual(seen, [...new Set(seen)].sort((a, b) => a - b));

    const paused = (await client.callTool({ name: "dipeo_run", arguments: { content: ASKS } })).structuredContent;
    assert.equal(paused.pause_reason, "model", JSON.stringify(paused));
    const answer = { execution_id: paused.execution_id, action: "answer", value: "Assam" };
    const ended = await client.callTool({ name: "control_execution", arguments: answer });
    assert.equal(ended.structuredContent.status, "completed", JSON.stringify(ended));

    const page = await client.readResource({ uri: "dipeo://diagrams/hello" });
    assert.match(page.contents[0].text, /version: light/);
    const completed = await client.complete({
      ref: { type: "ref/resource", uri: "dipeo://diagrams/{name}" },
      argument: { name: "name", value: "hel" },
    });
    assert.deepEqual(completed.completion.values, ["hello"]);
  } finally {
    await client.close();
  }
  assert.deepEqual(complaints, []);
  console.log(`${name} ${transport} legacy: ok`);
}

const [name, ...chosen] = process.argv.slice(2);
for (const transport of chosen) await check(name, transport);
process.exit(0);
