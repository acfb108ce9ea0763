#!/usr/bin/env bash
# Gemini's command line against dipeo, entered by `dipeo mcp install`. Started by `run`, which sets DIPEO_BIN,
# SERVER_URL, SERVER_WORKSPACE, CLIENT_HOME, CLIENTS_DIR and CLIENTS_NODE.
set -euo pipefail

cd "$SERVER_WORKSPACE"
for it in "stdio --name on-stdio" "http --name on-http --http $SERVER_URL"; do
    read -ra arguments <<<"${it#* }"
    env -i PATH="$PATH" HOME="$CLIENT_HOME" "$DIPEO_BIN" mcp install --client gemini "${arguments[@]}" --json >/dev/null
done
program="$CLIENTS_DIR/gemini/node_modules/.bin/gemini"
said=$(env -i PATH="$(dirname "$CLIENTS_NODE"):$PATH" HOME="$CLIENT_HOME" DIPEO_HOME="$DIPEO_HOME" \
    GEMINI_CLI_TRUST_WORKSPACE=true timeout 180 "$program" mcp list 2>&1)
for name in on-stdio on-http; do
    grep "$name" <<<"$said" | grep -v Disconnected | grep -q Connected || { printf 'gemini: %s is not connected: %s\n' "$name" "$said" >&2; exit 1; }
    printf 'gemini %s installed: ok\n' "${name#on-}"
done
