#!/usr/bin/env bash
# The MCP Inspector's command line against dipeo, on stdio and on HTTP. Started by `run`, which sets DIPEO_BIN,
# SERVER_URL, SERVER_WORKSPACE, CLIENTS_DIR and CLIENTS_NODE.
set -euo pipefail

inspector="$CLIENTS_DIR/inspector/node_modules/@modelcontextprotocol/inspector"
entry="$inspector/$("$CLIENTS_NODE" -p "const b = require('$inspector/package.json').bin; typeof b === 'string' ? b : Object.values(b)[0]")"
cd "$SERVER_WORKSPACE"

# inspect stdio|http ARGUMENTS…
inspect() {
    local transport=$1
    shift
    if [[ "$transport" == stdio ]]; then
        "$CLIENTS_NODE" "$entry" --cli "$DIPEO_BIN" mcp "$@"
    else
        "$CLIENTS_NODE" "$entry" --cli "$SERVER_URL" --transport http "$@"
    fi
}

# expect WHAT PATTERN TEXT
expect() {
    if ! grep -q -- "$2" <<<"$3"; then
        printf 'inspector: %s lacks %s:\n%s\n' "$1" "$2" "$3" >&2
        exit 1
    fi
}

for transport in stdio http; do
    # Ends with 6 when a schema has something that some client cannot read.
    tools=$(inspect "$transport" --method tools/list --strict)
    for tool in dipeo_run see_result control_execution compile_diagram search fetch; do
        expect tools/list "\"$tool\"" "$tools"
    done
    run=$(inspect "$transport" --method tools/call --tool-name dipeo_run --tool-arg diagram=hello)
    expect tools/call completed "$run"
    page=$(inspect "$transport" --method resources/read --uri dipeo://diagrams/hello)
    expect resources/read "version: light" "$page"
    prompts=$(inspect "$transport" --method prompts/list)
    expect prompts/list write_diagram "$prompts"
    printf 'inspector %s strict: ok\n' "$transport"
done
