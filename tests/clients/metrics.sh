#!/usr/bin/env bash
# Debian's `promtool` (package prometheus) reads what a server says at /metrics after a run, and finds nothing to
# complain about. Needs SERVER_URL.
set -euo pipefail

promtool="${PROMTOOL:-$(command -v promtool || true)}"
if [[ -z "$promtool" ]]; then
    printf 'metrics: skipped, no promtool (Debian: apt install prometheus); set PROMTOOL to one\n'
    exit 0
fi
base="${SERVER_URL%/mcp}"
call='{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"dipeo_run","arguments":{"diagram":"hello"}}}'
curl -fsS -H 'content-type: application/json' -d "$call" "$base/mcp/messages" >/dev/null
metrics=$(curl -fsS "$base/metrics")
grep -q '^dipeo_nodes_total{outcome="completed",type="start"} [1-9]' <<<"$metrics" || {
    printf 'metrics: the run was not counted\n'
    exit 1
}
"$promtool" check metrics <<<"$metrics"
printf 'metrics: /metrics passes, %s metrics\n' "$(grep -c '^# TYPE ' <<<"$metrics")"
