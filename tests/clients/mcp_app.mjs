// The page of the Apps extension in a real browser, shown by a host that does what the extension asks of hosts: a
// sandboxed frame, the strict default content policy, JSON-RPC over postMessage, tool calls passed on to a running
// `dipeo serve`. Started by `run`, which sets SERVER_URL, CLIENTS_DIR and CHROMIUM. One line per pass; the first
// surprise ends the program with a trace. With SHOTS=folder it leaves pictures of what it saw there.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

// The package lives below target/, not beside this file.
const require = createRequire(`${process.env.CLIENTS_DIR}/browser/package.json`);
const { chromium } = require("playwright-core");

const PAGE = "ui://dipeo/execution";
const MIME_TYPE = "text/html;profile=mcp-app";
const POLICY =
  "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; " +
  "img-src 'self' data:; media-src 'self' data:; connect-src 'none'";
const HOSTILE = "<img src=x onerror=parent.postMessage(1)>";

const asks = (fields) => `version: light
nodes:
- {label: start, type: start}
- {label: "${HOSTILE}", type: user_response, prompt: "Best <b>tea</b>?", ${fields}}
- {label: end, type: endpoint}
connections:
- {from: start, to: "${HOSTILE}"}
- {from: "${HOSTILE}", to: end}
`;

const code = (text) => `version: light
nodes:
- {label: start, type: start}
- {label: work, type: code_job, code: ${JSON.stringify(text)}}
- {label: end, type: endpoint}
connections:
- {from: start, to: work}
- {from: work, to: end}
`;

// --- the server, as a host reaches it ---------------------------------------------------------------------------

let nextId = 1;

async function server(method, params) {
  const meta = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {
      extensions: { "io.modelcontextprotocol/ui": { mimeTypes: [MIME_TYPE] } },
    },
    "io.modelcontextprotocol/clientInfo": { name: "app-host", version: "1" },
  };
  const name = params.name ?? params.uri;
  const response = await fetch(process.env.SERVER_URL, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      "mcp-protocol-version": "2026-07-28",
      "mcp-method": method,
      ...(name ? { "mcp-name": name } : {}),
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: nextId++, method, params: { ...params, _meta: meta } }),
  });
  const answer = await response.json();
  assert.ok(answer.result, JSON.stringify(answer));
  return answer.result;
}

const call = (name, args) => server("tools/call", { name, arguments: args });

// --- the host ---------------------------------------------------------------------------------------------------

const EVERYTHING = { serverTools: {}, serverResources: {}, openLinks: {}, updateModelContext: { text: {} } };

const HOST_PAGE = `<!doctype html><html><body style="margin:0">
<iframe id="view" sandbox="allow-scripts" style="border:0;width:100%;height:100vh"></iframe>
<script>
  const view = document.getElementById("view");
  window.toView = (message) => view.contentWindow.postMessage(message, "*");
  window.addEventListener("message", async (event) => {
    if (event.source !== view.contentWindow) return;
    const answer = await window.fromView(event.data);
    if (answer) window.toView(answer);
  });
</script></body></html>`;

class Host {
  // `result`: what the tool answered that the page is shown for.
  static async show(browser, html, { result, args = {}, capabilities = EVERYTHING, theme = "light", width = 720 }) {
    const host = new Host();
    Object.assign(host, { result, args, capabilities, theme, received: [], problems: [] });
    host.page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme: theme });
    host.page.on("console", (it) => it.type() === "error" && host.problems.push(it.text()));
    host.page.on("pageerror", (error) => host.problems.push(String(error)));
    host.page.on("dialog", (it) => host.problems.push(`a dialog: ${it.message()}`));
    await host.page.exposeFunction("fromView", (message) => host.answer(message));
    await host.page.route("**/*", (route) =>
      route.request().url() === "http://host.invalid/"
        ? route.fulfill({ contentType: "text/html", body: HOST_PAGE })
        : (host.problems.push(`asked for ${route.request().url()}`), route.abort()),
    );
    await host.page.goto("http://host.invalid/");
    const policy = `<meta http-equiv="Content-Security-Policy" content="${POLICY}">`;
    await host.page.evaluate((srcdoc) => (document.getElementById("view").srcdoc = srcdoc), html.replace("<head>", `<head>${policy}`));
    host.view = host.page.frameLocator("#view");
    return host;
  }

  send(message) {
    return this.page.evaluate((it) => window.toView(it), { jsonrpc: "2.0", ...message });
  }

  // Answers one message of the view; what it hands on goes to the real server.
  async answer({ id, method, params, result }) {
    this.received.push({ id, method, params, result });
    const reply = (value) => ({ jsonrpc: "2.0", id, result: value });
    switch (method) {
      case "ui/initialize":
        assert.equal(params.protocolVersion, "2026-01-26");
        assert.ok(params.appInfo.name && params.appInfo.version && params.appCapabilities);
        return reply({
          protocolVersion: "2026-01-26",
          hostInfo: { name: "test-host", version: "1" },
          hostCapabilities: this.capabilities,
          hostContext: { theme: this.theme, styles: { variables: { "--font-sans": "sans-serif", "--x": "url(http://x)" } } },
        });
      case "ui/notifications/initialized":
        await this.send({ method: "ui/notifications/tool-input", params: { arguments: this.args } });
        if (this.result) await this.send({ method: "ui/notifications/tool-result", params: this.result });
        return null;
      case "tools/call":
      case "resources/read":
        this.change?.(params);
        return reply(await server(method, params));
      case "ui/open-link":
      case "ui/update-model-context":
        return reply({});
      default:
        return null;
    }
  }

  status(text) {
    return this.view.getByRole("status").filter({ hasText: text }).waitFor({ timeout: 20_000 });
  }

  sent(method) {
    return this.received.filter((it) => it.method === method);
  }

  async close(name) {
    if (process.env.SHOTS) await this.page.screenshot({ path: `${process.env.SHOTS}/${name}.png` });
    assert.deepEqual(this.problems, [], name);
    await this.page.close();
    console.log(`mcp app ${name}: ok`);
  }
}

// --- what must hold ---------------------------------------------------------------------------------------------

const checks = {
  async "question, answered in the page"(show) {
    const result = await call("dipeo_run", { content: asks("validation_type: text") });
    const host = await show({ result, args: { content: "…" } });
    await host.status("‖ paused: input");
    // What a diagram says is text, whatever it looks like.
    await host.view.getByText("Best <b>tea</b>?", { exact: true }).first().waitFor();
    await host.view.locator(".question strong", { hasText: HOSTILE }).waitFor();
    assert.equal(await host.view.locator(".question img, .question b, table img").count(), 0);
    await host.view.getByRole("textbox", { name: "Answer" }).fill("Assam");
    // A look at the execution in the meantime must not empty the form.
    const before = host.sent("tools/call").length;
    await until(() => host.sent("tools/call").length > before + 1);
    assert.equal(await host.view.getByRole("textbox", { name: "Answer" }).inputValue(), "Assam");
    await host.view.getByRole("button", { name: "Answer" }).press("Enter");
    await host.status("✓ completed");
    await host.view.locator("#outputs dd", { hasText: "Assam" }).waitFor();
    await host.view.getByRole("rowheader", { name: "end" }).waitFor();
    await until(async () => (await host.view.locator("#picture").getAttribute("alt"))?.includes("completed"));
    assert.ok(await host.view.locator("#picture").evaluate((it) => it.complete && it.naturalWidth > 0));
    await until(() => host.sent("ui/update-model-context").length > 0);
    assert.ok(!JSON.stringify(host.sent("ui/update-model-context")).includes("Assam"));
    assert.ok(host.sent("ui/notifications/size-changed").at(-1).params.height > 100);
    return host;
  },

  async "answer that is refused, explained and kept"(show) {
    const result = await call("dipeo_run", { content: asks("validation_type: number") });
    const host = await show({ result });
    await host.view.getByRole("spinbutton", { name: "Answer" }).fill("3");
    host.change = ({ name, arguments: args }) => name === "control_execution" && (args.value = "many");
    await host.view.getByRole("button", { name: "Answer" }).click();
    await host.view.getByRole("alert").filter({ hasText: "number" }).waitFor();
    host.change = null;
    await host.view.getByRole("spinbutton", { name: "Answer" }).press("Enter");
    await host.status("✓ completed");
    return host;
  },

  async "answer given elsewhere, seen in the page"(show) {
    const result = await call("dipeo_run", { content: asks("validation_type: number, timeout: 600") });
    const host = await show({ result });
    await host.status("‖ paused");
    const { execution_id } = result.structuredContent;
    await call("control_execution", { execution_id, action: "answer", value: 3 });
    await host.status("✓ completed");
    assert.equal(await host.view.locator(".question").count(), 0);
    return host;
  },

  async "choice, in the dark on a phone"(show) {
    const result = await call("dipeo_run", { content: asks("options: [red, green]") });
    const host = await show({ result, theme: "dark", width: 360 });
    await host.status("‖ paused");
    await host.view.getByRole("radio", { name: "green" }).check();
    const overflow = await host.view.locator("html").evaluate((it) => it.scrollWidth - it.clientWidth);
    assert.equal(overflow, 0);
    const [red, green, blue] = await host.view.locator("body").evaluate((it) => getComputedStyle(it).backgroundColor.match(/\d+/g).map(Number));
    assert.ok(red + green + blue < 150, "the page is light in a dark host");
    if (process.env.SHOTS) await host.page.screenshot({ path: `${process.env.SHOTS}/phone.png` });
    await host.view.getByRole("button", { name: "Answer" }).click();
    await host.status("✓ completed");
    await host.view.locator("#outputs dd", { hasText: "green" }).waitFor();
    return host;
  },

  async "approval with a comment"(show) {
    const result = await call("dipeo_run", { content: asks("approval: true") });
    const host = await show({ result });
    await host.status("‖ paused: approval");
    await host.view.getByRole("radio", { name: "no" }).check();
    await host.view.getByLabel("Comment").fill("too sweet");
    await host.view.getByRole("button", { name: "Answer" }).click();
    await host.status("✓ completed");
    await host.view.locator("#outputs dd", { hasText: "false" }).waitFor();
    return host;
  },

  async "run followed live and aborted"(show) {
    const result = await call("dipeo_run", { content: code("while True:\n    pass"), wait_seconds: 0, timeout: 120 });
    const host = await show({ result });
    await host.status("▸ running");
    await host.view.getByRole("row", { name: /work.*running/ }).waitFor();
    await host.view.locator("#picture").waitFor();
    if (process.env.SHOTS) await host.page.screenshot({ path: `${process.env.SHOTS}/running.png` });
    await host.view.getByRole("button", { name: "Abort" }).click();
    await host.view.getByRole("button", { name: "Abort for good?" }).click();
    await host.status("⊘ aborted");
    const looks = host.sent("tools/call").length;
    await host.page.waitForTimeout(2_500);
    assert.ok(host.sent("tools/call").length <= looks + 2, "it goes on asking about what has ended");
    return host;
  },

  async "failure, with its cause"(show) {
    const result = await call("dipeo_run", { content: code("result = 1 / 0") });
    const host = await show({ result });
    await host.status("✗ failed");
    await host.view.getByRole("alert").filter({ hasText: "work: the code raised `ZeroDivisionError`: division by zero" }).waitFor();
    return host;
  },

  async "diagram that does not compile"(show) {
    const result = await call("dipeo_run", { content: "version: light\nnodes: []\n" });
    const host = await show({ result });
    await host.status("not started");
    await host.view.getByRole("alert").waitFor();
    return host;
  },

  async "host without tools, told in the page"(show) {
    const result = await call("dipeo_run", { content: asks("validation_type: text") });
    const host = await show({ result, capabilities: {} });
    await host.status("‖ paused");
    assert.ok(await host.view.getByRole("button", { name: "Answer" }).isDisabled());
    await host.view.getByRole("alert").filter({ hasText: "see_result" }).waitFor();
    assert.deepEqual(host.sent("tools/call"), []);
    return host;
  },

  async "host that reads no resources, and a teardown"(show) {
    const { execution_id } = (await call("dipeo_run", { content: asks("validation_type: text") })).structuredContent;
    const host = await show({ args: { execution_id }, capabilities: { serverTools: {} } });
    await host.status("‖ paused");
    await host.view.locator("#picture").waitFor();
    assert.ok(host.sent("tools/call").some((it) => it.params.name === "fetch"));
    await host.send({ id: 77, method: "ui/resource-teardown", params: { reason: "test" } });
    await until(() => host.received.some((it) => it.id === 77 && it.result));
    const looks = host.sent("tools/call").length;
    await host.page.waitForTimeout(4_000);
    assert.ok(host.sent("tools/call").length <= looks + 1, "it goes on after the end");
    return host;
  },
};

async function until(holds) {
  for (let n = 0; n < 200; n += 1) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.fail(`never true: ${holds}`);
}

const tools = (await server("tools/list", {})).tools;
for (const name of ["dipeo_run", "see_result"]) {
  assert.equal(tools.find((it) => it.name === name)._meta.ui.resourceUri, PAGE);
}
const [document] = (await server("resources/read", { uri: PAGE })).contents;
assert.equal(document.mimeType, MIME_TYPE);

// The browser's own sandbox cannot start for the superuser.
const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args });
try {
  for (const [name, check] of Object.entries(checks)) {
    const host = await check((options) => Host.show(browser, document.text, options));
    await host.close(name);
  }
} finally {
  await browser.close();
}
