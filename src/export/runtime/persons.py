import json
import os
import time
import urllib.error
import urllib.request
import http.client


def is_party(name):
    return name not in ("", "system", "user")


def person_label(persons, party):
    return persons[party]["label"] if party in persons else party


def shown_message(persons, me, message):
    """One message as the model of `me` is shown it: by whom it was said, or to whom."""
    origin, target, content = message["from"], message["to"], message["content"]
    if origin == me:
        return {"role": "assistant", "content": content}
    if target != me and is_party(origin):
        content = "[%s]: %s" % (person_label(persons, origin), content)
    elif target != me and is_party(target):
        content = "[to %s]: %s" % (person_label(persons, target), content)
    return {"role": "user", "content": content}


def memory_window(messages, me, preset, at_most, ignored):
    """The stored messages a person is shown again: an exact filter."""
    kept = [it for it in messages if it["from"] not in ignored and it["to"] not in ignored]
    between = [it for it in kept if (it["from"], it["to"]) in (("system", me), (me, "system"))]
    windows = {
        "ALL_MESSAGES": kept,
        "ALL_INVOLVED": [it for it in kept if me in (it["from"], it["to"])],
        "SENT_TO_ME": [it for it in kept if it["to"] == me],
        "SENT_BY_ME": [it for it in kept if it["from"] == me],
        "SYSTEM_AND_ME": between,
        "CONVERSATION_PAIRS": whole_pairs(between, me),
        "GOLDFISH": [],
    }
    if at_most is not None and preset == "CONVERSATION_PAIRS":
        at_most -= at_most % 2
    window = windows[preset]
    return window if at_most is None else window[max(0, len(window) - at_most) :]


def whole_pairs(messages, me):
    pairs, at = [], 0
    while at + 1 < len(messages):
        prompt, reply = messages[at : at + 2]
        same_call = (prompt["node_id"], prompt["iteration"]) == (reply["node_id"], reply["iteration"])
        is_pair = prompt["to"] == me and reply["from"] == me and same_call
        pairs += [prompt, reply] if is_pair else []
        at += 2 if is_pair else 1
    return pairs


def handed_over(inputs, window, me):
    """Messages of conversations among the inputs that are neither in the window nor from or to the person."""
    seen = {it["id"] for it in window}
    handed = []
    for conversation in (it for it in inputs.values() if is_conversation(it)):
        for message in conversation["messages"]:
            texts = {key: message.get(key) for key in ("from", "to", "id")}
            texts = {key: it if isinstance(it, str) else "" for key, it in texts.items()}
            if me in (texts["from"], texts["to"]) or texts["id"] in seen:
                continue
            if texts["id"]:
                seen.add(texts["id"])
            handed.append({**texts, "content": as_text(message.get("content"))})
    return handed


def choose_prompt(cx, first, default):
    """The first prompt in the first run, else the default one, else the input `prompt`, else the first again."""
    own = first if cx.iteration == 1 and first is not None else default
    persons = cx.run.persons
    extra = {"global_message_count": len(cx.messages)}
    extra["global_conversation"] = [
        {"from": person_label(persons, it["from"]), "to": person_label(persons, it["to"]), "content": it["content"]}
        for it in cx.messages
    ]
    given = cx.names.inputs.get("prompt", NOTHING)
    if own is not None:
        text = render_template(cx, own, extra)
    elif given is not NOTHING:
        text = as_text(given)
    else:
        text = render_template(cx, first, extra) if first is not None else ""
    if not text.strip():
        message = "`%s` has a prompt that is blank once rendered" % cx.label
        raise Failure("TEMPLATE_FAILED", message, "write a `default_prompt` with text of its own")
    return text


def run_person_job(cx, person, default_prompt=None, first_only_prompt=None, memorize_to="ALL_INVOLVED", at_most=None,
                   ignore_person=(), temperature=None, max_tokens=None):
    who = cx.run.persons[person]
    prompt = choose_prompt(cx, first_only_prompt, default_prompt)
    window = memory_window(cx.messages, person, memorize_to, at_most, ignore_person)
    earlier = window + handed_over(cx.names.inputs, window, person)
    sent = [{"role": "system", "content": who["system_prompt"]}] if (who.get("system_prompt") or "").strip() else []
    sent += [shown_message(cx.run.persons, person, it) for it in earlier]
    sent.append({"role": "user", "content": prompt})
    with cx.run.lock:
        nth = cx.run.calls[person]
        cx.run.calls[person] += 1
    call = {"messages": sent, "nth": nth, "timeout": cx.timeout}
    call["temperature"] = who.get("temperature") if temperature is None else temperature
    call["max_tokens"] = who.get("max_tokens") if max_tokens is None else max_tokens
    text, model = SERVICES[who["service"]](who, call)
    place = {"node_id": cx.id, "iteration": cx.iteration}
    ids = ["%s:%s:%d:%d" % (cx.run.id, cx.id, cx.iteration, k) for k in (0, 1)]
    asked = {"id": ids[0], "from": "system", "to": person, "role": "user", "content": prompt}
    said = {"id": ids[1], "from": person, "to": "system", "role": "assistant", "content": text}
    told = [{key: it[key] for key in ("id", "from", "to", "role", "content")} for it in window]
    conversation = {"messages": told + [asked, said], "last_message": text, "person_id": person, "model": model}
    forms = {"text": text, "conversation": conversation}
    return Output(text, forms=forms, messages=[{**asked, **place}, {**said, **place}])


def call_scripted(who, call):
    """Answers from the script; without one, the person says its prompt again."""
    replies, nth = who.get("replies"), call["nth"]
    entry = call["messages"][-1]["content"]
    if replies is not None:
        at = {"fail": nth, "repeat_last": min(nth, len(replies) - 1)}.get(who["when_exhausted"])
        at = nth % max(1, len(replies)) if at is None else at
        if not 0 <= at < len(replies):
            message = "the script of `%s` is used up: `replies` has %d" % (who["label"], len(replies))
            raise Failure("LLM_FAILED", message, "add replies, or set `when_exhausted: repeat_last` or `cycle`")
        entry = replies[at]
    if isinstance(entry, dict):
        time.sleep((entry.get("delay_ms") or 0) / 1000)
        if "error" in entry:
            error = entry["error"] if isinstance(entry["error"], str) else one_line(entry["error"])
            message = "`%s` is scripted to fail: %s" % (who["label"], error)
            raise Failure("LLM_FAILED", message, retryable=entry.get("retryable", True) is not False)
        entry = one_line(entry["json"]) if "json" in entry else entry.get("text")
    return entry if isinstance(entry, str) else one_line(entry), who.get("model") or "scripted"


def post_json(who, url, headers, body, seconds):
    """Sends a request to a model's server. What it answers to a failure is kept out of messages."""
    data = json.dumps(body).encode("utf-8")
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers})
    try:
        with OPENER.open(request, timeout=seconds) as response:
            return json.loads(response.read())
    except urllib.error.HTTPError as error:
        message = "`%s` at `%s` answered with status %d" % (who["service"], url, error.code)
        details = status_details(error.code, error.headers)
        retryable = error.code in (408, 409, 425, 429) or error.code >= 500
        raise Failure("LLM_FAILED", message, retryable=retryable, details=details)
    except (OSError, ValueError, http.client.HTTPException) as error:
        message = "`%s` at `%s` did not answer: %s" % (who["service"], url, type(error).__name__)
        raise Failure("LLM_FAILED", message, "check the address and the network", retryable=True)


def api_key(who, variable):
    key = os.environ.get(who.get("api_key_id") or "", "") or os.environ.get(variable, "")
    if not key and not who.get("base_url") and not os.environ.get(variable.replace("_API_KEY", "_BASE_URL")):
        message = "person `%s` has no key for `%s`: the variable `%s` is not set" % (who["label"], who["service"], variable)
        raise Failure("NO_MODEL", message, "set `%s`" % variable)
    return key


def base_url(who, variable, otherwise):
    return (who.get("base_url") or os.environ.get(variable) or otherwise).rstrip("/")


def no_text(who):
    return Failure("LLM_FAILED", "`%s` answered without any text" % who["service"], retryable=True)


def call_chat_completions(who, call, url, key, model):
    tokens_key = "max_completion_tokens" if "://api.openai.com" in url else "max_tokens"
    body = {"model": model, "messages": call["messages"], "temperature": call["temperature"], tokens_key: call["max_tokens"]}
    headers = {"Authorization": "Bearer " + key} if key else {}
    body = {name: it for name, it in body.items() if it is not None}
    reply = post_json(who, url + "/chat/completions", headers, body, call["timeout"])
    choices = reply.get("choices") if isinstance(reply, dict) else None
    content = (choices[0].get("message") or {}).get("content") if choices else None
    if isinstance(content, list):
        content = "".join(it.get("text") or "" for it in content if isinstance(it, dict))
    if not content:
        raise no_text(who)
    return content, reply.get("model") or model


def call_openai(who, call):
    model = who.get("model") or os.environ.get("OPENAI_MODEL") or "gpt-4o"
    url = base_url(who, "OPENAI_BASE_URL", "https://api.openai.com/v1")
    return call_chat_completions(who, call, url, api_key(who, "OPENAI_API_KEY"), model)


def call_ollama(who, call):
    if not who.get("model"):
        raise Failure("NO_MODEL", "person `%s` names no model" % who["label"], "give the person a `model`")
    url = base_url(who, "OLLAMA_HOST", "http://localhost:11434")
    url = (url if "://" in url else "http://" + url).replace("://0.0.0.0", "://127.0.0.1")
    return call_chat_completions(who, call, url if url.endswith("/v1") else url + "/v1", "", who["model"])


def call_anthropic(who, call):
    key = api_key(who, "ANTHROPIC_API_KEY")
    model = who.get("model") or os.environ.get("ANTHROPIC_MODEL")
    if not model:
        raise Failure("NO_MODEL", "person `%s` names no model" % who["label"], "give the person a `model`")
    system = "\n\n".join(it["content"] for it in call["messages"] if it["role"] == "system")
    merged = []
    for message in (it for it in call["messages"] if it["role"] != "system"):
        # Neighbours of one role count as one message here, and the first one is the user's.
        if merged and merged[-1]["role"] == message["role"]:
            merged[-1]["content"] += "\n\n" + message["content"]
        else:
            merged.append(dict(message))
    if merged[0]["role"] == "assistant":
        merged.insert(0, {"role": "user", "content": "(earlier)"})
    body = {"model": model, "messages": merged, "system": system or None, "temperature": call["temperature"]}
    body["max_tokens"] = call["max_tokens"] or 4096
    headers = {"x-api-key": key, "anthropic-version": "2023-06-01"}
    url = base_url(who, "ANTHROPIC_BASE_URL", "https://api.anthropic.com")
    url += "/messages" if url.endswith("/v1") else "/v1/messages"
    reply = post_json(who, url, headers, {name: it for name, it in body.items() if it is not None}, call["timeout"])
    blocks = reply.get("content") if isinstance(reply, dict) else None
    text = "".join(it.get("text") or "" for it in blocks or [] if isinstance(it, dict) and it.get("type") == "text")
    if not text:
        raise no_text(who)
    return text, reply.get("model") or model


SERVICES = {
    "scripted": call_scripted,
    "openai": call_openai,
    "ollama": call_ollama,
    "anthropic": call_anthropic,
}
