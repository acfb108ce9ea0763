// GraphQL as others see it: the audit of `graphql-http` (GraphQL over HTTP) and the client of `graphql-ws` following
// runs, both against the release binary. Started by `run`. The first surprise ends the program with a trace.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const { CLIENTS_DIR, SERVER_URL, GUARDED_URL, GUARDED_TOKEN } = process.env;
// The packages live below target/, not beside this file.
const load = (folder, name) => {
  const require = createRequire(`${CLIENTS_DIR}/${folder}/package.json`);
  return import(pathToFileURL(require.resolve(name)).href);
};
const { auditServer } = await load("graphql-http", "graphql-http");
const { createClient } = await load("graphql-ws", "graphql-ws");

const at = (mcp) => mcp.replace(/\/mcp$/, "/graphql");
const socketOf = (url) => url.replace(/^http/, "ws");

// Waits for its caller, so that there is something to follow while it happens.
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
const RUN = "mutation($text: JSON!) { executeDiagram(input: {diagram_data: $text}) { success error data { id } } }";
const ANSWER = `mutation($id: ID!) {
  sendInteractiveResponse(input: {execution_id: $id, node_id: "ask", response: "Assam"}) { success error }
}`;
const FOLLOW = `subscription($id: String!, $seq: Int) {
  executionUpdates(execution_id: $id, last_seq: $seq) { type data }
}`;

async function audit(url) {
  const results = await auditServer({ url });
  const of = (status) => results.filter((it) => it.status === status);
  const failed = [...of("error"), ...of("warn")].map((it) => `${it.id} ${it.name}: ${it.reason}`);
  assert.deepEqual(failed, [], "required and recommended checks");
  // What a server may do and this one does not: it runs nothing by GET.
  const left = of("notice").map((it) => it.id).sort();
  assert.deepEqual(left, ["5A70", "6A70", "D6D5"], "optional checks that are not met");
  console.log(`graphql-http audit: ${of("ok").length} of ${results.length} checks, 0 required or recommended failed: ok`);
}

async function one(client, query, variables) {
  for await (const answer of client.iterate({ query, variables })) return answer;
}

// Follows an execution through `clients`, each of which is cut off after its first events; returns what all heard.
async function followed(url, options) {
  const fresh = () => createClient({ url: socketOf(url), retryAttempts: 0, lazyCloseTimeout: 0, ...options });
  const steering = fresh();
  const ran = await one(steering, RUN, { text: ASKS });
  assert.equal(ran.data.executeDiagram.success, true, JSON.stringify(ran));
  const { id } = ran.data.executeDiagram.data;

  const heard = [];
  for (let isOver = false; !isOver; ) {
    const client = fresh();
    const seq = heard.at(-1)?.data.seq ?? null;
    isOver = true;
    for await (const { data, errors } of client.iterate({ query: FOLLOW, variables: { id, seq } })) {
      assert.equal(errors, undefined);
      const update = data.executionUpdates;
      heard.push(update);
      if (update.type === "EXECUTION_PAUSED") {
        const answered = await one(steering, ANSWER, { id });
        assert.equal(answered.data.sendInteractiveResponse.success, true, JSON.stringify(answered));
      }
      if (heard.length % 3 === 0) {
        isOver = false;
        client.terminate();
        break;
      }
    }
    await client.dispose();
  }
  await steering.dispose();
  assert.deepEqual(heard.map((it) => it.data.seq), heard.map((_, n) => n + 1), "no event lost, none twice");
  assert.equal(heard.at(-1).type, "EXECUTION_COMPLETED");
  return heard;
}

await audit(at(SERVER_URL));
const heard = await followed(at(SERVER_URL), {});
console.log(`graphql-ws, cut off every three events: ${heard.length} events: ok`);
await followed(at(GUARDED_URL), { connectionParams: { Authorization: `Bearer ${GUARDED_TOKEN}` } });
const stranger = createClient({ url: socketOf(at(GUARDED_URL)), retryAttempts: 0 });
const refused = await one(stranger, "{ __typename }").catch((closed) => closed.code);
assert.equal(refused, 4401);
console.log("graphql-ws with a token, and without: ok");
process.exit(0);
