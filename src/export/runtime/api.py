import base64
import json
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request

BODY_BYTES_MAX = 32 * 1024 * 1024


def with_secrets(value):
    """`${secret:NAME}` is the environment variable of that name; put in last, so no template sees it."""
    if isinstance(value, dict):
        return {key: with_secrets(it) for key, it in value.items()}
    if isinstance(value, list):
        return [with_secrets(it) for it in value]
    return re.sub(r"\$\{secret:([^}]+)\}", secret_of, value) if isinstance(value, str) else value


def secret_of(found):
    name = found.group(1).strip()
    if name not in os.environ:
        message = "the secret `%s` is not set" % name
        raise Failure("SECRET_NOT_FOUND", message, "set the environment variable `%s`" % name)
    return os.environ[name]


def run_api_job(cx, url, method="GET", headers=None, params=None, body=None, auth_type="none", auth_config=None,
                accept_status=None):
    given = {"url": url, "headers": headers or {}, "params": params or {}, "body": body}
    rendered = {name: cx.names.inputs.get(name, NOTHING) for name in given}
    for name, value in given.items():
        if rendered[name] is NOTHING:
            rendered[name] = render_value(cx, value)
        elif name in ("headers", "params"):
            rendered[name] = look_into(rendered[name])
    rendered = with_secrets(rendered)
    address = as_text(rendered["url"])
    if not re.match("https?://", address):
        raise Failure("HTTP_FAILED", "`%s` is no http or https address" % excerpt(address))
    query = [(key, one) for key, it in (rendered["params"] or {}).items() for one in (it if isinstance(it, list) else [it])]
    query = urllib.parse.urlencode([(key, as_text(it)) for key, it in query if it is not None])
    if query:
        address += ("&" if "?" in address else "?") + query
    sent = {name: as_text(it) for name, it in (rendered["headers"] or {}).items() if it is not None}
    sent.update(authorization(auth_type, with_secrets(render_value(cx, auth_config or {}))))
    data = None
    if rendered["body"] is not None:
        is_text = isinstance(rendered["body"], str)
        data = (rendered["body"] if is_text else spell(rendered["body"])).encode("utf-8")
        if not any(it.lower() == "content-type" for it in sent):
            sent["Content-Type"] = "text/plain; charset=utf-8" if is_text else "application/json"
    if method in ("POST", "PUT", "PATCH", "DELETE"):
        sent["Idempotency-Key"] = "%s:%s:%d" % (cx.run.id, cx.id, cx.iteration)
    return Output(fetch(address, method, sent, data, cx.timeout, accept_status))


def authorization(kind, config):
    if kind == "bearer":
        return {"Authorization": "Bearer " + as_text(config.get("token"))}
    if kind == "basic":
        pair = "%s:%s" % (as_text(config.get("username")), as_text(config.get("password")))
        return {"Authorization": "Basic " + base64.b64encode(pair.encode("utf-8")).decode("ascii")}
    if kind == "api_key":
        return {as_text(config.get("key_name")) or "X-API-Key": as_text(config.get("key_value"))}
    return {}


def fetch(address, method, headers, data, seconds, accept_status):
    shown = address.split("?", 1)[0]
    request = urllib.request.Request(address, data, headers, method=method)
    try:
        response = urllib.request.urlopen(request, timeout=seconds)
    except urllib.error.HTTPError as error:
        response = error
    except TimeoutError:
        raise Failure("NODE_TIMEOUT", "the node did not finish within %s s" % number_text(seconds))
    except (OSError, ValueError) as error:
        raise Failure("HTTP_FAILED", "cannot reach `%s`: %s" % (shown, type(error).__name__), retryable=True)
    with response:
        content = response.read(BODY_BYTES_MAX + 1)
    if len(content) > BODY_BYTES_MAX:
        raise Failure("HTTP_FAILED", "`%s` answers with more than %d bytes" % (shown, BODY_BYTES_MAX))
    accepted = response.status in accept_status if accept_status else 200 <= response.status < 300
    if not accepted:
        details = {"status": response.status, "body": excerpt(content.decode("utf-8", "replace"), 500)}
        wait = (response.headers.get("Retry-After") or "").strip()
        if wait.isdigit():
            details["retry_after_ms"] = int(wait) * 1000
        retryable = response.status in (408, 425, 429) or response.status >= 500
        message = "`%s` answered with status %d" % (shown, response.status)
        raise Failure("HTTP_STATUS", message, retryable=retryable, details=details)
    return decode_response(content, response.headers, shown)


def decode_response(content, headers, shown):
    kind = headers.get_content_type() if headers.get("Content-Type") else ""
    charset = headers.get_content_charset() or "utf-8"
    if not content:
        return None if kind.endswith("json") or not kind else ""
    is_text = kind.startswith("text/") or kind.endswith(("json", "xml", "javascript", "x-www-form-urlencoded"))
    try:
        text = content.decode(charset)
    except (LookupError, UnicodeDecodeError):
        text = None
    if text is None or not (is_text or not kind):
        message = "`%s` answered with bytes of type `%s`, which an exported script does not keep" % (shown, kind)
        raise Failure("HTTP_FAILED", message, "fetch it with code, or run the diagram with dipeo")
    return json_or(text, text) if kind.endswith("json") or not kind else text
