import os
import re
import signal
import subprocess


def read_source(cx, code, file_path):
    if code is not None:
        return code
    path = render_path(cx, file_path)
    return decode_text(cx.run.files.read(path), "utf-8", path)


def looked_into(values, parse_json):
    return {name: look_into(it) if parse_json else it for name, it in values.items()}


def run_python(cx, code=None, file_path=None, function_name="main", parse_json=True):
    source = read_source(cx, code, file_path)
    names = looked_into(cx.names.all(), parse_json)
    names = {name: it for name, it in names.items() if name.isidentifier() and name not in SPECIAL + ("result",)}
    inputs = looked_into(cx.names.inputs, parse_json)
    job = {"source": source, "function_name": function_name, "names": names, "inputs": inputs}
    job.update(globals=cx.names.globals(), node_id=cx.id)
    # What the code changes must not reach other nodes.
    job = read_json(spell(job))
    space = {"__name__": "__main__", **job["names"], "__dipeo_end__": END}
    space.update({name: job[name] for name in SPECIAL})
    try:
        return Output(plain(run(job, space)))
    except BaseException as error:
        name, line = type(error).__name__, line_of(error)
        text = (error.msg if isinstance(error, SyntaxError) else str(error)) or name
        quoted = source.splitlines()[line - 1 : line] if line else []
        hint = "line %d: `%s`" % (line, quoted[0].strip()[:80]) if quoted else None
        raise Failure("CODE_FAILED", text, hint, retryable=True, kind=name)


def run_shell(cx, shell, code=None, file_path=None):
    source = read_source(cx, code, file_path)
    environment = dict(os.environ, INPUT_KEYS=" ".join(cx.names.inputs))
    for name, value in cx.names.inputs.items():
        text = value if isinstance(value, str) else spell(value)
        environment["INPUT_" + re.sub("[^A-Za-z0-9_]", "_", name)] = text
    options = {"env": environment, "cwd": cx.run.files.root, "stdin": subprocess.DEVNULL, "start_new_session": True}
    try:
        process = subprocess.Popen([shell, "-c", source], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    except (OSError, ValueError) as error:
        raise Failure("CODE_FAILED", "%s did not start: %s" % (shell, error))
    try:
        output, noise = process.communicate(timeout=cx.timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        message = "the node did not finish within %s s" % number_text(cx.timeout)
        raise Failure("NODE_TIMEOUT", message, "raise the node's `timeout`")
    noise = noise.decode("utf-8", "replace")
    if noise.strip():
        say(noise.rstrip())
    if process.returncode:
        said = [it.strip() for it in noise.splitlines() if it.strip()][-1:]
        message = "%s ended with exit status: %d" % (shell, process.returncode)
        raise Failure("CODE_FAILED", ": ".join([message] + said), retryable=True, kind="ExitStatus")
    return Output(output.decode("utf-8", "replace").strip())
