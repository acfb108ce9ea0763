#!/usr/bin/env bash
# Claude Code against dipeo: entered by its own command and by `dipeo mcp install`, on stdio, on HTTP and with a
# token; then a whole run, with a model that is a script. Started by `run`, which sets DIPEO_BIN, SERVER_URL,
# GUARDED_URL, GUARDED_TOKEN, SERVER_WORKSPACE, CLIENT_HOME, CLIENTS_DIR and CLIENTS_NODE.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program="$CLIENTS_DIR/claude-code/node_modules/.bin/claude"
# Nothing of the machine's own settings, and no calls that are not needed.
claude() {
    env -i PATH="$(dirname "$CLIENTS_NODE"):$PATH" HOME="$CLIENT_HOME" DIPEO_HOME="$DIPEO_HOME" \
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 DISABLE_AUTOUPDATER=1 DIPEO_TOKEN="$GUARDED_TOKEN" "${MODEL[@]}" \
        timeout 180 "$program" "$@"
}
MODEL=()
fail() { printf 'claude-code: %s\n' "$*" >&2; exit 1; }
cd "$SERVER_WORKSPACE"

# connected NAME LABEL: its exit code is 0 in any case, the text counts.
connected() {
    local said errors="$CLIENT_HOME/errors"
    said=$(claude mcp get "$1" 2>"$errors") || fail "mcp get $1: $said"
    grep -q 'Connected' <<<"$said" || fail "$1 is not connected: $said $(cat "$errors")"
    [[ ! -s "$errors" ]] || fail "$1: $(cat "$errors")"
    printf 'claude-code %s: ok\n' "$2"
}

install() { env -i PATH="$PATH" HOME="$CLIENT_HOME" DIPEO_HOME="$DIPEO_HOME" "$DIPEO_BIN" mcp install --client claude-code --json "$@" >/dev/null; }

claude mcp add added -- "$DIPEO_BIN" mcp >/dev/null
connected added "stdio added"
claude mcp add added-http --transport http "$SERVER_URL" >/dev/null
connected added-http "http added"
install --name installed
connected installed "stdio installed"
install --name guarded --http "$GUARDED_URL" --token-variable DIPEO_TOKEN
connected guarded "http installed, with a token"

# A model that asks for one call of a tool and then repeats what it returned.
for server in installed guarded; do
    "$CLIENTS_NODE" "$here/scripted_model.mjs" "mcp__${server}__dipeo_run" >"$CLIENT_HOME/model-$server" &
    model=$!
    trap 'kill "$model" 2>/dev/null || true' EXIT
    until [[ -s "$CLIENT_HOME/model-$server" ]]; do sleep 0.1; done
    MODEL=(ANTHROPIC_BASE_URL="$(cat "$CLIENT_HOME/model-$server")" ANTHROPIC_API_KEY=none ENABLE_TOOL_SEARCH=false)
    said=$(claude -p "Run the diagram hello" --allowedTools "mcp__${server}__dipeo_run" --model sonnet </dev/null 2>&1) || true
    kill "$model" 2>/dev/null || true
    grep -q '"status":"completed"' <<<"$said" || fail "the run through $server did not end: $said"
    case $server in installed) label=stdio ;; *) label=http ;; esac
    printf 'claude-code %s run: ok\n' "$label"
    MODEL=()
done
