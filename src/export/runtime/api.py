import base64
import http.client
import os
import re
import urllib.error
import urllib.parse
import urllib.request

BODY_BYTES_MAX = 32 * 1024 * 1024


def with_marks(value):
    """A field with a mark for each `${secret:NAME}`; what values bring along is no reference."""
    if isinstance(value, dict):
        return {key: with_marks(it) for key, it in value.items()}
    if isinstance(value, list):
        return [with_marks(it) for it in value]
    mark = lambda found: "%s<%s>" % (SECRET_MARK, found.group(1).strip())
    return re.sub(r"\$\{secret:([^}]+)\}", mark, value) if isinstance(value, str) else value


def with_secrets(value):
    """Puts the secrets in, last: the environment variables of their names."""
    if isinstance(value, dict):
        return {key: with_secrets(it) for key, it in value.items()}
    if isinstance(value, list):
        return [with_secrets(it) for it in value]
    return re.sub(SECRET_MARK + "<([^>]*)>", secret_of, value) if isinstance(value, str) else value


def secret_of(found):
    name = found.group(1)
    if name not in os.environ:
        message = "the secret `%s` is not set" % name
        raise Failure("SECRET_NOT_FOUND", message, "set the environment variable `%s`" % name)
    return os.environ[name]


def filled_in(cx, value):
    return with_secrets(render_value(cx, with_marks(value)))


def entries(field, value):
    """A mapping of names to plain values; None leaves its name out."""
    value = look_into(value)
    if value is None or (isinstance(value, str) and not value.strip()):
        return {}
    if not isinstance(value, dict):
        raise Failure("TEMPLATE_FAILED", "`%s` must be a mapping here" % field)
    return {key: it for key, it in value.items() if it is not None}


def plain_text(field, key, value):
    if isinstance(value, (dict, list)):
        message = "`%s.%s` must be a text, not a list or mapping" % (field, key)
        raise Failure("TEMPLATE_FAILED", message, "name one field of it, for example `{{x.name}}`")
    return as_text(value)


def run_api_job(cx, url=None, method="GET", headers=None, params=None, body=None, auth_type="none", auth_config=None,
                accept_status=None):
    given = {"url": url, "headers": headers, "params": params, "body": body}
    inputs = cx.names.inputs
    rendered = {name: inputs[name] if name in inputs else filled_in(cx, it) for name, it in given.items()}
    if not isinstance(rendered["url"], str):
        raise Failure("TEMPLATE_FAILED", "no `url` came, or it is no text", "give the node a `url`")
    if not re.match("https?://", rendered["url"].strip(), re.IGNORECASE):
        message = "`%s` is no http or https address" % excerpt(rendered["url"].split("?", 1)[0])
        raise Failure("HTTP_FAILED", message, "write the whole address, `https://` included")
    query = []
    for key, value in entries("params", rendered["params"]).items():
        for one in value if isinstance(value, list) else [value]:
            query += [] if one is None else [(key, plain_text("params", key, one))]
    address = quoted_address(rendered["url"])
    if query:
        address += ("&" if "?" in address else "?") + urllib.parse.urlencode(query)
    sent = {key: plain_text("headers", key, it) for key, it in entries("headers", rendered["headers"]).items()}
    data = None
    if rendered["body"] is not None:
        is_text = isinstance(rendered["body"], str)
        data = (rendered["body"] if is_text else spell(rendered["body"])).encode("utf-8")
        sent = {"Content-Type": "text/plain; charset=utf-8" if is_text else "application/json", **fold_names(sent)}
    if method not in ("GET", "HEAD"):
        sent = {"Idempotency-Key": "%s:%s:%d" % (cx.run.id, cx.id, cx.iteration), **fold_names(sent)}
    sent = {**fold_names(sent), **authorization(auth_type, filled_in(cx, auth_config or {}))}
    return Output(fetch(address, method, sent, data, cx.timeout, accept_status))


def fold_names(headers):
    """Headers by their usual spelling, so that one given in another case is not sent twice."""
    return {name.strip().title(): it for name, it in headers.items()}


def authorization(kind, config):
    if kind == "bearer":
        return {"Authorization": "Bearer " + as_text(config.get("token"))}
    if kind == "basic":
        pair = "%s:%s" % (as_text(config.get("username")), as_text(config.get("password")))
        return {"Authorization": "Basic " + base64.b64encode(pair.encode("utf-8")).decode("ascii")}
    if kind == "api_key":
        return {(as_text(config.get("key_name")).strip() or "X-API-Key").title(): as_text(config.get("key_value"))}
    return {}


def fetch(address, method, headers, data, seconds, accept_status):
    shown = address.split("?", 1)[0]
    try:
        request = urllib.request.Request(address, data, headers, method=method)
        response = OPENER.open(request, timeout=seconds)
    except urllib.error.HTTPError as error:
        response = error
    except TimeoutError:
        raise Failure("NODE_TIMEOUT", "the node did not finish within %s s" % number_text(seconds))
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Failure("HTTP_FAILED", "cannot reach `%s`: %s" % (shown, type(error).__name__), retryable=True)
    with response:
        content = response.read(BODY_BYTES_MAX + 1)
    if len(content) > BODY_BYTES_MAX:
        raise Failure("HTTP_FAILED", "`%s` answers with more than %d bytes" % (shown, BODY_BYTES_MAX))
    accepted = response.status in accept_status if accept_status else 200 <= response.status < 300
    if not accepted:
        details = status_details(response.status, response.headers)
        details["body"] = excerpt(content.decode("utf-8", "replace"), 600)
        retryable = response.status in (408, 425, 429) or response.status >= 500
        message = "`%s` answered with status %d" % (shown, response.status)
        raise Failure("HTTP_STATUS", message, retryable=retryable, details=details)
    return decode_response(content, response.headers, shown)


TEXT_TYPES = (
    "application/xml application/javascript application/x-javascript application/x-ndjson application/yaml "
    "application/x-yaml application/x-www-form-urlencoded application/sql"
).split()


def decode_response(content, headers, shown):
    kind = headers.get_content_type() if headers.get("Content-Type") else ""
    is_json = kind in ("application/json", "text/json") or kind.endswith("+json")
    is_text = not is_json and (kind.startswith("text/") or kind.endswith("+xml") or kind in TEXT_TYPES)
    if not content:
        return "" if is_text else None
    if is_json:
        found = json_or(content.decode("utf-8", "replace"), NOTHING)
        if found is NOTHING:
            raise Failure("PARSE_FAILED", "the answer says that it is JSON, and is not")
        return found
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        is_latin = (headers.get_content_charset() or "") in ("iso-8859-1", "latin1", "us-ascii")
        text = content.decode("latin-1" if is_latin else "utf-8", "replace") if is_text else None
    if is_text:
        return text[1:] if text.startswith("\ufeff") else text
    if text is None or kind:
        message = "`%s` answered with bytes of type `%s`, which a script does not keep" % (shown, kind)
        raise Failure("HTTP_FAILED", message, "fetch it with code, or run the diagram with dipeo")
    return look_into(text)
