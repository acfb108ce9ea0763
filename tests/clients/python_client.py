"""The official Python client (package `mcp`) against dipeo, on stdio and on HTTP, in both eras.

Started by `run`, which sets DIPEO_BIN, SERVER_URL and SERVER_WORKSPACE. One line per pass; the first
surprise ends the program with a trace.
"""

import asyncio
import json
import os
import sys

from mcp import Client, StdioServerParameters

TOOLS = ["dipeo_run", "see_result", "control_execution", "compile_diagram", "search", "fetch"]

# Waits for its caller, so that there is something to see and to answer.
ASKS = """\
version: light
persons:
  Guest: {service: caller}
nodes:
- {label: start, type: start, custom_data: {topic: tea}}
- {label: ask, type: person_job, person: Guest, default_prompt: "Best {{topic}}?", max_iteration: 1}
- {label: end, type: endpoint}
connections:
- {from: start, to: ask}
- {from: ask, to: end}
"""

# Computes until its time is up, so that progress can be seen.
SPINS = """\
version: light
nodes:
- {label: start, type: start}
- {label: spin, type: code_job, code: "while True:\\n    pass"}
- {label: end, type: endpoint}
connections:
- {from: start, to: spin}
- {from: spin, to: end}
"""


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


async def check(server, transport, mode):
    async with Client(server, mode=mode, read_timeout_seconds=60) as client:
        listed = await client.list_tools()
        expect([tool.name for tool in listed.tools] == TOOLS, f"tools: {listed}")

        run = await client.call_tool("dipeo_run", {"diagram": "hello"})
        expect(not run.is_error and run.structured_content["status"] == "completed", f"run: {run}")
        expect(json.loads(run.content[0].text) == run.structured_content, "text and structured content differ")

        page = await client.read_resource("dipeo://diagrams/hello")
        expect("version: light" in page.contents[0].text, f"resource: {page}")

        paused = (await client.call_tool("dipeo_run", {"content": ASKS})).structured_content
        expect(paused["status"] == "paused" and paused["pause_reason"] == "model", f"paused: {paused}")
        answer = {"execution_id": paused["execution_id"], "action": "answer", "value": "Assam"}
        ended = (await client.call_tool("control_execution", answer)).structured_content
        expect(ended["status"] == "completed", f"answered: {ended}")

        seen = []

        async def on_progress(progress, total, message):
            seen.append(progress)

        failed = await client.call_tool("dipeo_run", {"content": SPINS, "timeout": 2}, progress_callback=on_progress)
        expect(failed.is_error and failed.structured_content["status"] == "failed", f"failed: {failed}")
        expect(seen and seen == sorted(set(seen)), f"progress: {seen}")

        wrong = await client.call_tool("see_result", {"execution_idd": "x"})
        expect(wrong.is_error and "did you mean `execution_id`?" in wrong.content[0].text, f"wrong: {wrong}")

        prompts = await client.list_prompts()
        expect(len(prompts.prompts) == 4, f"prompts: {prompts}")
    print(f"python {transport} {mode}: ok", flush=True)


async def main():
    stdio = StdioServerParameters(
        command=os.environ["DIPEO_BIN"],
        args=["mcp"],
        cwd=os.environ["SERVER_WORKSPACE"],
        env={**os.environ},
    )
    for mode in ("auto", "legacy"):
        await check(stdio, "stdio", mode)
        await check(os.environ["SERVER_URL"], "http", mode)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
