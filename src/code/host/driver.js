// Runs the user's JavaScript, one job after the other: reads jobs from descriptor 3 and writes replies
// to descriptor 4, each as four bytes of length and JSON. Started with `node -e`; `shared` stands before it.
const fs = require("fs");
const vm = require("vm");
const path = require("path");
const { createRequire } = require("module");

const ROOT = process.cwd();
const OUTPUT_MAX = Number(process.argv[1]);
const requireFrom = createRequire(path.join(ROOT, "code.js"));
const importModuleDynamically = vm.constants && vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER;
const exit = process.exit.bind(process);
const { toJson, toLine } = shared;
const own = globalThis;

const nResources = () => (process.getActiveResourcesInfo ? process.getActiveResourcesInfo().length : 0);

// The job that runs, with what it printed and how it ends; null between jobs.
let current = null;

function readExactly(length) {
  const bytes = Buffer.alloc(length);
  let done = 0;
  while (done < length) {
    const n = fs.readSync(3, bytes, done, length - done, null);
    if (n === 0) return null;
    done += n;
  }
  return bytes;
}

function writeFrame(text) {
  const body = Buffer.from(text);
  const frame = Buffer.alloc(4 + body.length);
  frame.writeUInt32LE(body.length, 0);
  body.copy(frame, 4);
  for (let done = 0; done < frame.length; ) done += fs.writeSync(4, frame, done);
}

function print(text) {
  if (!current) return;
  current.size += text.length;
  if (current.size <= OUTPUT_MAX) current.printed.push(text);
  else end({ Err: { kind: "too_large", what: "what the code printed" } });
}

function failure(error) {
  if (!(error instanceof Object) || typeof error.message !== "string") {
    const message = typeof error === "string" ? error : toLine([error]).trim();
    return { kind: "raised", exception: "Error", message, line: null };
  }
  if (error.code === "ERR_SCRIPT_EXECUTION_TIMEOUT") return { kind: "timed_out" };
  const found = /\bcode:(\d+)/.exec(String(error.stack));
  const exception = String(error.name || "Error");
  return { kind: "raised", exception, message: error.message || exception, line: found ? Number(found[1]) : null };
}

// Ends the current job; whatever of it still runs speaks to nobody.
function end(outcome) {
  const job = current;
  if (!job) return;
  current = null;
  for (const [name, before] of job.before) {
    if (before) Object.defineProperty(own, name, before);
    else delete own[name];
  }
  for (const name of Object.getOwnPropertyNames(own)) if (!job.known.has(name)) delete own[name];
  // Modules of the workspace may change until the next job.
  for (const file of Object.keys(require.cache)) {
    if (file.startsWith(ROOT + path.sep) && !file.includes("node_modules")) delete require.cache[file];
  }
  try {
    process.chdir(ROOT);
  } catch {}
  const retire = nResources() > idleResources;
  writeFrame(JSON.stringify({ outcome, printed: job.printed.join(""), retire }));
  setImmediate(next);
}

async function run(job) {
  const known = new Set(Object.getOwnPropertyNames(own));
  const before = [];
  const bind = (name, value) => {
    before.push([name, Object.getOwnPropertyDescriptor(own, name)]);
    Object.defineProperty(own, name, { value, writable: true, configurable: true, enumerable: true });
  };
  current = { printed: [], size: 0, before, known };
  const mine = current;
  try {
    bind("require", requireFrom);
    for (const [name, value] of Object.entries(job.names)) bind(name, value);
    bind("inputs", structuredClone(job.inputs));
    bind("globals", job.globals);
    bind("node_id", job.node_id);
    const script = new vm.Script(job.source, { filename: "code", importModuleDynamically });
    // Ends an endless loop even when nobody is left to kill us.
    const timeout = Math.max(1, Math.min(job.time_ms, 2 ** 31 - 1));
    own.__dipeo_start = () => script.runInThisContext()(job.inputs);
    const value = await vm.runInThisContext("__dipeo_start()", { timeout });
    const text = toJson(value);
    if (Buffer.byteLength(text) > OUTPUT_MAX) {
      if (mine === current) end({ Err: { kind: "too_large", what: "the value" } });
    } else if (mine === current) {
      end({ Ok: { value: JSON.parse(text), truth: false } });
    }
  } catch (error) {
    if (mine === current) end({ Err: failure(error) });
  }
}

function next() {
  const head = readExactly(4);
  const body = head && readExactly(head.readUInt32LE(0));
  if (!body) exit(0);
  run(JSON.parse(body.toString()));
}

const log = (...values) => print(toLine(values));
Object.assign(console, { log, info: log, debug: log, warn: log, error: log, trace: log });
process.stdout.write = process.stderr.write = (text) => (print(String(text)), true);
process.exit = (code) => {
  throw new Error("the code ended its interpreter (exit status: " + (code || 0) + ")");
};
process.on("uncaughtException", (error) => end({ Err: failure(error) }));
// Nothing is left to happen, but the job has not ended.
process.on("beforeExit", () => {
  const message = "the code awaits something that never happens";
  end({ Err: { kind: "raised", exception: "Error", message, line: null } });
});
const idleResources = nResources();
next();
