def run_start(cx, custom_data, is_hook=False):
    body = {**cx.names.variables, **custom_data}
    if is_hook:
        body.setdefault("event", {})
    return Output(body, variables=custom_data)


def passed_on(inputs):
    """The value when there is one input, the map when there are several, null without any."""
    return next(iter(inputs.values())) if len(inputs) == 1 else dict(inputs) if inputs else None
