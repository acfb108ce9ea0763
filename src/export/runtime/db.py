import re

KEY_DEPTH_MAX = 64
BYTES_SUFFIXES = "png jpg jpeg gif webp pdf mp3 wav mp4 zip".split()


def run_db(cx, operation, files, is_list=False, file_format=None, encoding="utf-8", keys=(), lines=None,
           missing_value=NOTHING, is_glob=True, serialize_json=False, content=NOTHING):
    given = {"format": file_format, "encoding": encoding, "keys": list(keys), "lines": lines}
    given.update(missing_value=missing_value, is_glob=is_glob, serialize_json=serialize_json)
    if operation == "read":
        return Output(db_read(cx, files, is_list, given))
    path = render_path(cx, files[0])
    before = None
    if operation != "write" and cx.run.files.exists(path):
        before = decode_text(cx.run.files.read(path), encoding, path)
    change = {"write": db_write, "append": db_append, "update": db_update}[operation]
    value = value_to_write(cx.names.inputs) if content is NOTHING or operation == "update" else content
    written = encode_text(change(value, before, path, given), encoding, path)
    cx.run.files.write(path, written)
    return Output({"operation": operation, "path": path, "bytes": len(written)})


def db_read(cx, files, is_list, given):
    found, has_pattern = {}, False
    for file in files:
        path = render_path(cx, file)
        if given["is_glob"] and re.search(r"[*?\[]", path) and not cx.run.files.exists(path):
            has_pattern = True
            found.update({it: read_one(cx, it, given) for it in cx.run.files.find(path)})
        elif not is_list:
            return read_one(cx, path, given)
        else:
            found[path] = read_one(cx, path, given)
    return {key: found[key] for key in sorted(found)} if has_pattern or is_list else None


def read_one(cx, path, given):
    try:
        content = cx.run.files.read(path)
    except Failure as failure:
        if failure.code == "FILE_NOT_FOUND" and given["missing_value"] is not NOTHING:
            return given["missing_value"]
        raise
    if given["format"] is None and given["lines"] is None and suffix_of(path) in BYTES_SUFFIXES:
        raise Failure("FILE_FAILED", "`%s` holds bytes, which a script does not keep" % path, "give a `format`")
    text = decode_text(content, given["encoding"], path)
    if given["lines"] is not None:
        value = select_lines(given["lines"], text)
    else:
        # Without a format only `.json` is read as what it is, and with keys the others that have keys.
        by_suffix = given["keys"] or suffix_of(path) == "json"
        file_format = given["format"] or (format_of_suffix(path) if by_suffix else "text")
        value = pick_keys(decode_file(text, file_format, path), given["keys"], path)
    return spell(value) if given["serialize_json"] else value


def select_lines(ranges, text):
    lines = text.split("\n")
    lines = [it[:-1] if it.endswith("\r") else it for it in (lines[:-1] if lines[-1] == "" else lines)]
    return "\n".join(line for start, end in ranges for line in lines[start - 1 : end])


def pick_keys(value, keys, path):
    if not keys:
        return value
    inside = look_into(value)
    if not isinstance(inside, (dict, list)):
        message = "`%s` has no keys: it holds neither a mapping nor a list" % path
        raise Failure("FILE_FAILED", message, "give `format: json`, or remove `keys`")
    return get_key(inside, keys[0]) if len(keys) == 1 else {key: get_key(inside, key) for key in keys}


def get_key(value, key):
    """The value at a dotted key; a key that is there as it is written, dots and all, wins."""
    if isinstance(value, dict) and key in value:
        return value[key]
    for part in key.split("."):
        if isinstance(value, list) and re.fullmatch(r"\+?[0-9]+", part) and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, dict) and part in value:
            value = value[part]
        else:
            return None
    return value


def set_key(value, key, new, path):
    """Sets the value at a dotted key, making mappings on the way, and returns the whole."""
    whole = holder = {"": value}
    at = ""
    for part in key.split("."):
        if holder[at] is None:
            holder[at] = {}
        inner = holder[at]
        is_place = isinstance(inner, list) and re.fullmatch(r"\+?[0-9]+", part) and int(part) < len(inner)
        if not (is_place or isinstance(inner, dict)) or key.count(".") >= KEY_DEPTH_MAX:
            message = "key `%s` of `%s` leads into a plain value at `%s`" % (key, path, part)
            raise Failure("FILE_FAILED", message, "only mappings and lists have keys")
        holder, at = inner, int(part) if is_place else part
        if isinstance(holder, dict):
            holder.setdefault(at, None)
    holder[at] = new
    return whole[""]


def value_to_write(inputs):
    named = [inputs[key] for key in ("content", "value", "generated_code") if key in inputs]
    return named[0] if named else next(iter(inputs.values())) if len(inputs) == 1 else dict(inputs)


def db_write(value, before, path, given):
    return encode_file(value, given["format"] or format_of_suffix(path), path)


def db_append(value, before, path, given):
    before = before or ""
    parsed = json_or(value, value) if isinstance(value, str) else value
    if given["format"] == "json" or (given["format"] is None and suffix_of(path) == "json"):
        items = decode_file(before, "json", path) if before.strip() else []
        return pretty((items if isinstance(items, list) else [items]) + [parsed])
    before += "\n" if before and not before.endswith("\n") else ""
    if given["format"] is None and suffix_of(path) in ("jsonl", "ndjson"):
        return before + spell(parsed) + "\n"
    return before + as_text(value)


def db_update(value, before, path, given):
    file_format = given["format"] or format_of_suffix(path)
    if file_format not in ("json", "yaml"):
        raise Failure("FILE_FAILED", "`%s` is neither JSON nor YAML" % path, "`update` sets keys in JSON and YAML files")
    if before is None and given["missing_value"] is NOTHING:
        hint = "write it first, or give `missing_value: {}` to begin with that"
        raise Failure("FILE_NOT_FOUND", "file `%s` does not exist" % path, hint, retryable=True)
    whole = decode_file(before, file_format, path) if before is not None else read_json(spell(given["missing_value"]))
    inside = look_into(value)
    if len(given["keys"]) == 1:
        return encode_file(set_key(whole, given["keys"][0], inside, path), file_format, path)
    fields = inside if isinstance(inside, dict) else {}
    for key in given["keys"]:
        name = key if key in fields else key.rsplit(".", 1)[-1]
        if name not in fields:
            message = "the input has no field for the key `%s`" % key
            raise Failure("FILE_FAILED", message, "with several keys the input is a mapping with one field for each")
        whole = set_key(whole, key, fields[name], path)
    return encode_file(whole, file_format, path)
