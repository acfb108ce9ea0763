// Counts what the conformance suite wrote and prints one line; what failed goes to standard error.
//
//   conformance_summary.mjs LABEL FOLDER --listed FILE      scenarios as `conformance list` prints them
//   conformance_summary.mjs LABEL FOLDER --named NAME…      these; checks that need a fixture do not count
//   conformance_summary.mjs --executable NAME < JSON        the test binary NAME in cargo's messages

import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** Checks that call a fixture and, where there is none, warn instead of saying that they cannot be tested. */
const NEEDS_FIXTURE = new Set([
  "sep-2322-ignore-unexpected-params",
  "sep-2322-missing-response-rerequests",
  "sep-2575-server-sends-prompts-list-changed-on-subscription",
  "sep-2575-server-sends-tools-list-changed-on-subscription",
  "server-sse-disconnect-resume",
]);

/** The scored and unscored server scenarios in the output of `conformance list`. */
function readList(text) {
  const lines = text.split("\n");
  const end = lines.findIndex((it) => it.startsWith("Client scenarios") || it.startsWith("Run and reported"));
  const names = (part, form) => part.map((it) => it.match(form)?.[1]).filter(Boolean);
  return {
    scored: names(end < 0 ? lines : lines.slice(0, end), /^\s+- ([a-z0-9-]+)(?: \[.*\])?$/),
    unscored: names(end < 0 ? [] : lines.slice(end), /^\s+- ([a-z0-9-]+) \[server\]$/),
  };
}

/** The checks of each scenario, from the folder that `-o` named. */
function readChecks(folder) {
  const found = new Map();
  for (const name of existsSync(folder) ? readdirSync(folder) : []) {
    const scenario = name.match(/^server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$/)?.[1];
    const file = join(folder, name, "checks.json");
    if (scenario && existsSync(file)) found.set(scenario, JSON.parse(readFileSync(file, "utf8")));
  }
  return found;
}

function summarize(label, folder, { scored, unscored }, isShipped) {
  const found = readChecks(folder);
  let [passed, failed, waived] = [0, 0, 0];
  const passes = (scenario) => {
    const checks = found.get(scenario);
    if (!checks?.length) {
      failed += 1;
      console.error(`${label}: ${scenario} did not run`);
      return false;
    }
    let isFine = true;
    for (const check of checks) {
      const isWaived = check.details?.untestable || (check.status === "WARNING" && NEEDS_FIXTURE.has(check.id));
      if (check.status === "SUCCESS") passed += 1;
      else if (isShipped && isWaived) waived += 1;
      else if (["FAILURE", "WARNING"].includes(check.status)) {
        failed += 1;
        isFine = false;
        console.error(`${label}: ${scenario}: ${check.id}: ${check.errorMessage ?? check.status}`);
      }
    }
    return isFine;
  };
  const count = (list) => `${list.filter(passes).length}/${list.length}`;
  const parts = [`${count(scored)} scenarios`];
  if (unscored.length) parts.push(`${count(unscored)} unscored`);
  parts.push(`${passed} checks`, `${failed} failed`);
  if (isShipped) parts.push(`${waived} need a fixture`);
  console.log(`${label}: ${parts.join(", ")}`);
  return failed === 0 && passed > 0;
}

function executable(name) {
  const messages = readFileSync(0, "utf8").split("\n").filter(Boolean).map((it) => JSON.parse(it));
  return messages.findLast((it) => it.executable && it.target?.name === name)?.executable;
}

const [label, folder, kind, ...rest] = process.argv.slice(2);
if (label === "--executable") {
  console.log(executable(folder));
} else {
  const isShipped = kind === "--named";
  const list = isShipped ? { scored: rest, unscored: [] } : readList(readFileSync(rest[0], "utf8"));
  process.exit(summarize(label, folder, list, isShipped) ? 0 : 1);
}
