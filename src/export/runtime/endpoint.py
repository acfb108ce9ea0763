def run_endpoint(cx, save_to=None, file_format=None):
    inputs = cx.names.inputs
    value = inputs["default"] if list(inputs) == ["default"] else dict(inputs)
    if save_to is not None:
        path = render_path(cx, save_to)
        cx.run.files.write(path, endpoint_text(value, file_format, path).encode("utf-8"))
    return Output(value)


def endpoint_text(value, file_format, path):
    if is_conversation(value):
        value = last_message(value)
    if file_format is not None:
        return encode_file(value, file_format, path)
    return value if isinstance(value, str) else pretty(value)
