import re

BLOCK_DEPTH_MAX = 32
TEMPLATE_BYTES_MAX = 4 * 1024 * 1024


def name_length(text):
    length = 0
    while length < len(text) and (text[length].isalnum() or text[length] in "_$-"):
        length += 1
    return length


def bracket_length(text):
    """Characters up to the `]` that closes the `[` at the beginning; quotes hide brackets."""
    depth, quote = 0, None
    for at, char in enumerate(text):
        if quote:
            quote = None if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char == "[":
            depth += 1
        elif char == "]":
            depth -= 1
            if depth == 0:
                return at + 1
    return 0


def read_bracket(inside, depth):
    inside = inside.strip()
    if len(inside) >= 2 and inside[0] in "\"'" and inside[-1] == inside[0]:
        return ("name", inside[1:-1])
    if re.fullmatch(r"[+-]?[0-9]+", inside):
        return ("index", int(inside))
    bounds = re.fullmatch(r"\s*([+-]?[0-9]+)?\s*:\s*([+-]?[0-9]+)?\s*", inside)
    if bounds:
        return ("slice", *(None if it is None else int(it) for it in bounds.groups()))
    path = read_path(inside, depth + 1)
    return None if path is None else ("path", path)


def read_path(text, depth=0):
    """A path `name.field[0][1:3]["key"][other]` as its text, its first name and its steps; None if it is none."""
    text = text.strip()
    sign = text[:1] == "@"
    at = name_length(text[1:] if sign else text) + sign
    root, steps = text[:at], []
    if depth > 8 or at == sign or (sign and root not in ("@index", "@first", "@last", "@key")):
        return None
    while at < len(text):
        rest = text[at:]
        if rest[0] == ".":
            length = name_length(rest[1:])
            step = ("name", rest[1 : length + 1]) if length else None
            length += 1
        else:
            length = bracket_length(rest) if rest[0] == "[" else 0
            step = read_bracket(rest[1 : length - 1], depth) if length else None
        if step is None:
            return None
        steps.append(step)
        at += length
    return {"text": text, "root": root, "steps": steps}


def take_step(value, step):
    """One step into a value, NOTHING where it leads nowhere. JSON texts are looked into."""
    inside = look_into(value)
    if step[0] == "slice":
        # A text that holds an object is a text like others.
        sliced = inside if isinstance(inside, list) else value
        return sliced[step[1] : step[2]] if isinstance(sliced, (list, str)) else NOTHING
    if step[0] == "name":
        if isinstance(inside, dict):
            return inside.get(step[1], NOTHING)
        if isinstance(inside, list) and re.fullmatch(r"[+-]?[0-9]+", step[1]):
            return take_step(inside, ("index", int(step[1])))
        return NOTHING
    if isinstance(inside, dict):
        return inside.get(str(step[1]), NOTHING)
    if not isinstance(inside, (list, str)) or not -len(inside) <= step[1] < len(inside):
        return NOTHING
    return inside[step[1]]


def template_problem(message):
    return Failure("TEMPLATE_FAILED", "the template does not parse: " + message)


def with_single_braces(text):
    """The parts of a text in which `{name}` is a place for a value, as in paths of files."""
    parts = []
    while "{" in text and "}" in text[text.index("{") :]:
        before, rest = text.split("{", 1)
        inside, text = rest.split("}", 1)
        path = read_path(inside)
        parts.append(("text", before))
        parts.append(("text", "{" + inside + "}") if path is None else ("value", path, "{" + inside + "}"))
    return parts + [("text", text)]


def read_template(text, single_braces=False):
    """A template as a list of parts: texts, values and blocks."""
    parts, opened, at = [], [], 0
    plain = with_single_braces if single_braces else lambda it: [("text", it)]
    while True:
        found = text.find("{{", at)
        if found < 0:
            break
        if text[at:found].endswith("\\"):
            parts += plain(text[at : found - 1]) + [("text", "{{")]
            at = found + 2
            continue
        parts += plain(text[at:found])
        mark = "--}}" if text.startswith("{{!--", found) else "}}"
        end = text.find(mark, found)
        if end < 0:
            raise template_problem("`%s` has no closing braces" % text[found : found + 30])
        at = end + len(mark)
        parts = read_tag(text[found:at], parts, opened)
    if opened:
        raise template_problem("`%s` is never closed" % opened[-1]["source"])
    return parts + plain(text[at:])


def read_tag(source, parts, opened):
    inside = source[2:-2].strip()
    if inside.startswith("!"):
        return parts
    if inside.startswith("#"):
        kind, _, path = inside[1:].strip().partition(" ")
        path = read_path(path)
        if kind not in ("if", "unless", "each") or path is None or len(opened) == BLOCK_DEPTH_MAX:
            raise template_problem("`%s` is no block" % source)
        opened.append({"kind": kind, "path": path, "source": source, "body": None, "before": parts})
        return []
    if inside == "else" and opened and opened[-1]["body"] is None:
        opened[-1]["body"] = parts
        return []
    if inside.startswith("/") and opened and opened[-1]["kind"] == inside[1:].strip():
        block = opened.pop()
        body, otherwise = (parts, []) if block["body"] is None else (block["body"], parts)
        return block["before"] + [("block", block["kind"], block["path"], body, otherwise)]
    path = read_path(inside)
    if path is None:
        raise template_problem("`%s` is no tag" % source)
    return parts + [("value", path, source)]


def is_false(value):
    """Truth by the rules of templates: texts that say no are false too."""
    if isinstance(value, str):
        return value.strip().lower() in ("", "false", "0", "no", "none", "null")
    return not value


class Renderer:
    def __init__(self, names, extra):
        self.names = names
        self.extra = extra
        self.frames = []
        self.unresolved = []

    def root(self, name):
        for frame in reversed(self.frames):
            if name in frame:
                return frame[name]
            inside = look_into(frame["this"])
            if not name.startswith("@") and isinstance(inside, dict) and name in inside:
                return inside[name]
        value = self.names.get(name)
        if value is not NOTHING:
            return value
        for suffix, take in (("_last_message", last_message), ("_messages", lambda it: it["messages"])):
            key = name[: -len(suffix)]
            if name.endswith(suffix) and is_conversation(self.names.inputs.get(key)):
                return take(self.names.inputs[key])
        return self.extra.get(name, NOTHING)

    def find(self, path):
        value = self.root(path["root"])
        for step in path["steps"]:
            if step[0] == "path":
                key = self.find(step[1])
                is_index = isinstance(key, int) and not isinstance(key, bool)
                step = ("name", key) if isinstance(key, str) else ("index", key) if is_index else None
            if value is NOTHING or step is None:
                return NOTHING
            value = take_step(value, step)
        return value

    def note(self, path):
        if path["text"] not in self.unresolved:
            self.unresolved.append(path["text"])

    def render(self, parts):
        texts = []
        for part in parts:
            if part[0] == "text":
                texts.append(part[1])
            elif part[0] == "value":
                value = self.find(part[1])
                if value is NOTHING:
                    self.note(part[1])
                texts.append(part[2] if value is NOTHING else as_text(value))
            else:
                texts.append(self.block(*part[1:]))
        text = "".join(texts)
        if len(text) > TEMPLATE_BYTES_MAX:
            raise Failure("TEMPLATE_FAILED", "the rendered text is too large")
        return text

    def block(self, kind, path, body, otherwise):
        value = self.find(path)
        if kind == "each":
            return self.each(value, path, body, otherwise)
        is_true = value is not NOTHING and not is_false(value)
        return self.render(body if is_true == (kind == "if") else otherwise)

    def each(self, value, path, body, otherwise):
        inside = NOTHING if value is NOTHING else look_into(value)
        keys = list(inside) if isinstance(inside, dict) else None
        items = list(inside.values()) if keys is not None else inside if isinstance(inside, list) else []
        if value is NOTHING or (not isinstance(inside, (dict, list)) and not is_false(inside)):
            self.note(path)
        if not items:
            return self.render(otherwise)
        texts = []
        for index, item in enumerate(items):
            frame = {"this": item, "@index": index, "@first": index == 0, "@last": index + 1 == len(items)}
            if keys is not None:
                frame["@key"] = keys[index]
            self.frames.append(frame)
            texts.append(self.render(body))
            self.frames.pop()
        return "".join(texts)


def note_unresolved(cx, unresolved):
    if unresolved and cx.strict_templates:
        message = "; ".join("`%s` has no value here" % it for it in unresolved)
        raise Failure("TEMPLATE_FAILED", message, "give the node an input of that name")
    for it in unresolved:
        cx.warn("W601", it, "`%s` has no value here" % it)


def render_template(cx, text, extra=None, single_braces=False):
    renderer = Renderer(cx.names, extra or {})
    rendered = renderer.render(read_template(text, single_braces))
    note_unresolved(cx, renderer.unresolved)
    return rendered


def render_path(cx, text):
    return render_template(cx, text, single_braces=True)


def render_value(cx, value):
    """A JSON value in which every text is a template; a text that is one tag keeps the type of its value."""
    if isinstance(value, dict):
        return {key: render_value(cx, it) for key, it in value.items()}
    if isinstance(value, list):
        return [render_value(cx, it) for it in value]
    if not isinstance(value, str):
        return value
    parts = [it for it in read_template(value) if it != ("text", "")]
    if len(parts) != 1 or parts[0][0] != "value":
        return render_template(cx, value)
    renderer = Renderer(cx.names, {})
    found = renderer.find(parts[0][1])
    if found is NOTHING:
        note_unresolved(cx, [parts[0][1]["text"]])
        return "{{" + parts[0][1]["text"] + "}}"
    return found
