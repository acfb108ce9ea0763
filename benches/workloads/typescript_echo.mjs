// One tool `echo` that returns a constant, on standard streams, with the TypeScript SDK: what most servers are
// made of. Arguments: the folder with the SDK, the size of the answer in bytes.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, resultBytes] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${folder}/package.json`));
const load = async (path) => import(pathToFileURL(require.resolve(`@modelcontextprotocol/sdk/${path}`)).href);
const { Server } = await load("server/index.js");
const { StdioServerTransport } = await load("server/stdio.js");
const { CallToolRequestSchema, ListToolsRequestSchema } = await load("types.js");

const frame = JSON.stringify({ content: [{ type: "text", text: "" }] }).length;
const text = "x".repeat(Math.max(0, Number(resultBytes) - frame));
const tools = [{ name: "echo", description: "Returns a constant.", inputSchema: { type: "object" } }];

const server = new Server({ name: "echo", version: "1" }, { capabilities: { tools: {} } });
server.setRequestHandler(ListToolsRequestSchema, async () => ({ tools }));
server.setRequestHandler(CallToolRequestSchema, async () => ({ content: [{ type: "text", text }] }));
await server.connect(new StdioServerTransport());
