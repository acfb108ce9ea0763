import datetime


def spelled_words(text):
    """Splits a name at everything that is no letter or digit, and where a capital begins a new word."""
    words, before = [""], ""
    for at, char in enumerate(text):
        if not char.isalnum():
            words.append("")
        else:
            ends_capitals = before.isupper() and text[at + 1 : at + 2].islower()
            if char.isupper() and (before.islower() or before.isnumeric() or ends_capitals):
                words.append("")
            words[-1] += char.lower()
        before = char
    return [it for it in words if it]


def capitalized(word):
    return word[:1].upper() + word[1:]


def plural(text):
    lower = text.lower()
    if lower.endswith(("s", "x", "z", "ch", "sh")):
        return text + "es"
    if lower.endswith("y") and not lower.endswith(("ay", "ey", "iy", "oy", "uy")):
        return text[:-1] + "ies"
    return text + "s" if text else ""


def json_filter(value, indent=2):
    return pretty(value) if indent == 2 else spell(value)


class Words(dict):
    """A map whose fields win over the methods of Python's maps, as in `task.items`."""


def jinja_environment():
    try:
        import jinja2
    except ImportError:
        raise Failure("TEMPLATE_FAILED", "Jinja2 is not installed", "install it: pip install jinja2")

    class Environment(jinja2.Environment):
        def getattr(self, value, name):
            value = look_into(value)
            return value[name] if isinstance(value, dict) and name in value else super().getattr(value, name)

        def getitem(self, value, name):
            return super().getitem(look_into(value), name)

    def finalize(value):
        is_plain = isinstance(value, (str, jinja2.Undefined)) or hasattr(value, "__html__")
        if is_plain or value is None:
            return "none" if value is None else value
        return spell_jinja(value)

    environment = Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, finalize=finalize)
    environment.filters.update(
        snake_case=lambda it: "_".join(spelled_words(it)),
        kebab_case=lambda it: "-".join(spelled_words(it)),
        pascal_case=lambda it: "".join(capitalized(word) for word in spelled_words(it)),
        camel_case=lambda it: "".join(capitalized(w) if n else w for n, w in enumerate(spelled_words(it))),
        pluralize=plural,
        json=json_filter,
    )
    return environment


def spell_jinja(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return number_text(value)
    return one_line(value) if isinstance(value, (dict, list)) else value


def render_jinja(environment, text, names):
    import jinja2

    try:
        return environment.from_string(text).render(names)
    except jinja2.TemplateError as error:
        raise Failure("TEMPLATE_FAILED", str(error.message or type(error).__name__))
    except Exception as error:
        raise Failure("TEMPLATE_FAILED", "%s: %s" % (type(error).__name__, error))


def render_jinja_value(environment, value, names):
    """Texts inside of `variables` are templates; one that is only `{{ x }}` keeps the type of x."""
    if isinstance(value, dict):
        return {key: render_jinja_value(environment, it, names) for key, it in value.items()}
    if isinstance(value, list):
        return [render_jinja_value(environment, it, names) for it in value]
    if not isinstance(value, str) or "{" not in value:
        return value
    inside = value.strip()[2:-2] if value.strip().startswith("{{") and value.strip().endswith("}}") else "{{"
    if "{{" in inside or "}}" in inside:
        return render_jinja(environment, value, names)
    try:
        return environment.compile_expression(inside.strip(), undefined_to_none=False)(**names)
    except Exception as error:
        raise Failure("TEMPLATE_FAILED", "%s: %s" % (type(error).__name__, error))


def run_template_job(cx, template_content=None, template_path=None, output_path=None, variables=None):
    text = template_content
    if text is None:
        path = render_path(cx, template_path)
        text = decode_text(cx.run.files.read(path), "utf-8", path)
    environment = jinja_environment()
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    names = {"generated_at": now, **cx.names.all(), **cx.names.special()}
    hiding = {**Names(cx.names.exposed, cx.names.inputs, {}, cx.id).all(), **cx.names.special()}
    own = {name: it for name, it in (variables or {}).items() if name not in hiding}
    names.update({name: render_jinja_value(environment, it, names) for name, it in own.items()})
    rendered = render_jinja(environment, text, names)
    if output_path is not None:
        cx.run.files.write(render_path(cx, output_path), rendered.encode("utf-8"))
    return Output(rendered)
