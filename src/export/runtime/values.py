import json


class Failure(Exception):
    """A node failed. It becomes a value only on an `error` connection."""

    def __init__(self, code, message, hint=None, retryable=False, details=None, kind=None, place=None):
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.retryable = retryable
        self.details = details
        self.kind = kind
        self.place = place or {}

    def to_object(self):
        known = {"code": self.code, "message": self.message, "hint": self.hint, "type": self.kind}
        known["details"] = self.details
        return {**{key: it for key, it in known.items() if it is not None}, **self.place}


def number_text(value):
    """A number as JSON spells it: Python pads exponents and writes 0.00001 as 1e-05."""
    text = repr(value)
    if isinstance(value, int) or "e" not in text:
        return text
    digits, exponent = text.split("e")
    if int(exponent) == -5:
        sign, digits = ("-", digits[1:]) if digits.startswith("-") else ("", digits)
        return sign + "0.0000" + digits.replace(".", "")
    return digits + "e" + str(int(exponent))


def spell(value, indent=None, comma=",", colon=":", depth=0):
    """JSON text: in one line, or with `indent` blanks a level."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return number_text(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    inner = [spell(it, indent, comma, colon, depth + 1) for it in (value.values() if isinstance(value, dict) else value)]
    opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
    if isinstance(value, dict):
        keys = [json.dumps(it, ensure_ascii=False) for it in value]
        inner = [key + (": " if indent else colon) + it for key, it in zip(keys, inner)]
    if not inner:
        return opening + closing
    if not indent:
        return opening + comma.join(inner) + closing
    line = "\n" + " " * (indent * (depth + 1))
    return opening + line + ("," + line).join(inner) + "\n" + " " * (indent * depth) + closing


def pretty(value):
    return spell(value, indent=2)


def one_line(value):
    return spell(value, comma=", ", colon=": ")


def refuse_constant(name):
    raise ValueError(name + " is not JSON")


def read_json(text):
    """Reads JSON; ValueError for everything else, NaN and Infinity included."""
    try:
        return json.loads(text, parse_constant=refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply")


def json_or(text, otherwise):
    try:
        return read_json(text)
    except ValueError:
        return otherwise


NOTHING = object()


def look_into(value):
    """A text that is the JSON text of an object or list is that object or list."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text[:1] + text[-1:] not in ("{}", "[]") or len(text) < 2:
        return value
    return json_or(text, value)


def is_conversation(value):
    messages = value.get("messages") if isinstance(value, dict) else None
    return isinstance(messages, list) and all(isinstance(it, dict) and "content" in it for it in messages)


def last_message(conversation):
    messages = conversation.get("messages") or []
    content = messages[-1].get("content") if messages else None
    if isinstance(content, str):
        return content
    return "" if content is None else pretty(content)


def as_text(value):
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, dict) and is_conversation(value):
        return last_message(value)
    return pretty(value)


def is_binary(value):
    return isinstance(value, dict) and set(value) == {"blob", "media_type", "size"}


def excerpt(value, chars_max=60):
    text = value if isinstance(value, str) else spell(value)
    return text if len(text) <= chars_max else text[:chars_max] + "…"


def fenced(text):
    """What stands in the one fenced code block that a text is."""
    text = text.strip()
    if not (text.startswith("```") and text[3:].endswith("```")) or "\n" not in text[3:-3]:
        return None
    body = text[3:-3].split("\n", 1)[1].strip()
    return None if "\n```" in body else body


def to_object(value):
    if not isinstance(value, str):
        return value
    found = json_or(value.strip(), NOTHING)
    if found is NOTHING and fenced(value) is not None:
        found = json_or(fenced(value), NOTHING)
    return {"text": value} if found is NOTHING else found


def to_conversation(value):
    if is_conversation(value):
        return value
    text = as_text(value)
    messages = [] if value is None else [{"role": "assistant", "content": text}]
    return {"messages": messages, "last_message": text}


def convert(value, forms, wanted):
    """What a connection of a content type delivers; NOTHING when it only signals."""
    if wanted == "empty":
        return NOTHING
    if wanted == "raw_text":
        if forms is not None:
            return forms["text"]
        return value if is_binary(value) else as_text(value)
    if wanted == "object":
        return to_object(value)
    if wanted == "conversation_state":
        return forms["conversation"] if forms is not None else to_conversation(value)
    if wanted == "binary" and not is_binary(value):
        message = "`%s` has no bytes, but the connection asks for binary" % excerpt(value)
        raise Failure("CONTENT_TYPE", message, "use `raw_text` or `object`, or leave the content type out")
    return value


class Names:
    """Everything a name can mean in one node execution; the first that knows it wins: exposed variables,
    inputs, fields of the inputs `default` and `first`, variables."""

    def __init__(self, exposed, inputs, variables, node_id):
        self.exposed = exposed
        self.inputs = inputs
        self.variables = variables
        self.node_id = node_id

    def special(self):
        return {"inputs": self.inputs, "globals": self.globals(), "node_id": self.node_id}

    def globals(self):
        return {**self.variables, **self.exposed}

    def all(self):
        found = dict(self.variables)
        for key in ("first", "default"):
            fields = look_into(self.inputs.get(key))
            if isinstance(fields, dict):
                found.update(fields)
        found.update(self.inputs)
        found.update(self.exposed)
        return found

    def get(self, name):
        special = self.special()
        return special[name] if name in special else self.all().get(name, NOTHING)
