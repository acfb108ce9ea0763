#!/usr/bin/env bash
# The bundle that `dipeo mcp bundle` makes: valid for the official validator, and its server works once unpacked.
# Started by `run`, which sets DIPEO_BIN, SERVER_WORKSPACE, CLIENT_HOME, CLIENTS_DIR and CLIENTS_NODE.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mcpb="$CLIENTS_DIR/mcpb/node_modules/@anthropic-ai/mcpb/dist/cli/cli.js"
cd "$CLIENT_HOME"
"$DIPEO_BIN" mcp bundle --out dipeo.mcpb >/dev/null
"$CLIENTS_NODE" "$mcpb" unpack dipeo.mcpb unpacked >/dev/null
said=$("$CLIENTS_NODE" "$mcpb" validate unpacked/manifest.json 2>&1) || { printf 'bundle: %s\n' "$said" >&2; exit 1; }
# As a host starts it: command, arguments and environment of the manifest, with the default workspace.
mkdir dipeo && cp -r "$SERVER_WORKSPACE/examples" dipeo/
"$CLIENTS_NODE" "$here/sdk_client.mjs" bundle packed
