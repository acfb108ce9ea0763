#!/bin/sh
# Stands in for the program `claude`: reads one message, answers as its text asks, and shows how it was started.
read -r line
case "$line" in
*fail*)
    printf '%s\n' '{"type":"result","subtype":"success","is_error":true,"result":"Invalid API key · Please run /login"}' ;;
*crash*)
    echo "cannot find the config" >&2
    exit 3 ;;
*forever*)
    sleep 600 &
    printf '{"type":"stream_event","event":{"delta":{"text":"%s"}}}\n' "$!"
    wait ;;
*)
    printf '%s\n' 'a line that is no JSON' '{"type":"system","subtype":"init","session_id":"s"}' \
        '{"type":"stream_event","event":{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Two "}}}' \
        '{"type":"stream_event","event":{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"words"}}}' \
        '{"type":"assistant","message":{"model":"claude-x","content":[{"type":"tool_use","id":"t1","name":"Read","input":{"file_path":"a.txt"}}]}}' \
        '{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"t1","content":"hello","is_error":false}]}}'
    echo "$@" > "$(pwd)/arguments.txt"
    printf '%s\n' "$line" > "$(pwd)/input.json"
    printf '%s|%s\n' "$OPENAI_API_KEY" "$CLAUDECODE" > "$(pwd)/environment.txt"
    printf '%s\n' '{"type":"result","subtype":"success","is_error":false,"result":"Two words","total_cost_usd":0.25,"stop_reason":"end_turn","usage":{"input_tokens":8,"cache_read_input_tokens":4,"cache_creation_input_tokens":0,"output_tokens":3}}' ;;
esac
