#!/usr/bin/env bash
# Schemathesis over every operation of the REST interface, from its own description, which openapi-spec-validator
# checks first. Started by `run`, which sets SERVER_URL, GUARDED_URL, GUARDED_TOKEN, SERVER_WORKSPACE and CLIENTS_DIR.
#
# Left out: `positive_data_acceptance`. A text that fits a schema need not be a diagram that compiles, nor the id of an
# execution that is there. EXAMPLES (25) is how many requests each operation gets in each phase, SEED the dice.
set -euo pipefail

bin="$CLIENTS_DIR/schemathesis/bin"
base="${SERVER_URL%/mcp}"
description="$SERVER_WORKSPACE/openapi.json"
report="$SERVER_WORKSPACE/schemathesis.txt"

curl -fsS "$base/openapi.json" -o "$description"
"$bin/openapi-spec-validator" --schema 3.1 "$description" >/dev/null
printf 'rest description: valid OpenAPI 3.1\n'

# Something to find, so that not everything is 404.
for name in one two; do
    cp "$SERVER_WORKSPACE/examples/hello.light.yaml" "$SERVER_WORKSPACE/examples/$name.light.yaml"
    curl -fsS "$base/api/v1/diagrams/$name" -o /dev/null
    curl -fsS -X POST "$base/api/v1/diagrams/$name/run" -H 'content-type: application/json' -d '{"wait": 20}' -o /dev/null
done

if ! "$bin/st" run "$description" --url "$base" --checks all --exclude-checks positive_data_acceptance \
    --phases examples,coverage,fuzzing,stateful --max-examples "${EXAMPLES:-25}" --seed "${SEED:-1}" \
    --suppress-health-check all --warnings off --request-timeout 60 --no-color >"$report" 2>&1; then
    tail -n 200 "$report" >&2
    exit 1
fi
printf 'rest schemathesis: ok, %s\n' "$(grep -A1 '^Test cases:' "$report" | tail -n 1 | sed 's/^ *//')"
