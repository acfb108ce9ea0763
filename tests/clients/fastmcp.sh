#!/usr/bin/env bash
# FastMCP's command line against dipeo, on stdio and on HTTP. Started by `run`, which sets DIPEO_BIN, SERVER_URL,
# SERVER_WORKSPACE and CLIENTS_DIR.
set -euo pipefail

cd "$SERVER_WORKSPACE"
program="$CLIENTS_DIR/fastmcp/bin/fastmcp"

# expect PATTERN COMMAND…
expect() {
    local pattern=$1 said
    shift
    said=$("$program" "$@" 2>&1) || { printf 'fastmcp %s failed: %s\n' "$*" "$said" >&2; exit 1; }
    grep -q -- "$pattern" <<<"$said" || { printf 'fastmcp %s lacks %s: %s\n' "$*" "$pattern" "$said" >&2; exit 1; }
}

expect dipeo_run list --command "$DIPEO_BIN mcp" --resources --json
expect completed call --command "$DIPEO_BIN mcp" --target dipeo_run --input-json '{"diagram": "hello"}' --json
printf 'fastmcp stdio auto: ok\n'
expect dipeo://diagrams/hello list "$SERVER_URL" --resources --json
expect completed call "$SERVER_URL" dipeo_run diagram=hello --json
printf 'fastmcp http auto: ok\n'
