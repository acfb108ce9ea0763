# Runs the user's Python, one job after the other: reads jobs from descriptor 3 and writes replies to
# descriptor 4, each as four bytes of length and JSON. Started with `python3 -c`.
import builtins
import io
import json
import os
import sys
import threading
import time
import types

JOBS = os.fdopen(3, "rb")
REPLIES = os.fdopen(4, "wb")
os.set_inheritable(3, False)
os.set_inheritable(4, False)
ROOT = os.getcwd()
PARENT = os.getppid()
OUTPUT_MAX = int(sys.argv[1])


class TooLarge(BaseException):
    """What the code prints or returns is too large."""


class Printed(io.TextIOBase):
    """Collects what the code prints."""

    def __init__(self):
        self.parts = []
        self.size = 0

    def writable(self):
        return True

    def write(self, text):
        self.size += len(text)
        if self.size > OUTPUT_MAX:
            raise TooLarge("what the code printed")
        self.parts.append(text)
        return len(text)


def watch_parent():
    # A parent that was killed cannot kill us.
    while os.getppid() == PARENT:
        time.sleep(1)
    os.killpg(0, 9)


def failure(error):
    if isinstance(error, TooLarge):
        return {"kind": "too_large", "what": str(error)}
    if isinstance(error, MemoryError):
        return {"kind": "out_of_memory"}
    name = type(error).__name__
    try:
        message = error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception:
        message = name
    return {"kind": "raised", "exception": name, "message": message or name, "line": line_of(error)}


def namespace(job):
    main = types.ModuleType("__main__")
    main.__builtins__ = builtins
    sys.modules["__main__"] = main
    space = main.__dict__
    space.update(job["names"])
    for name in SPECIAL:
        space[name] = job[name]
    space["__dipeo_end__"] = END
    return space


def forget_workspace():
    """Modules of the workspace may change until the next job; everything else stays imported."""
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if path and os.path.abspath(path).startswith(ROOT + os.sep) and "site-packages" not in path:
            del sys.modules[name]


def answer(job):
    printed = Printed()
    sys.stdout = sys.stderr = printed
    try:
        value = plain(run(job, namespace(job)))
        text = json.dumps(value, ensure_ascii=False).encode()
        if len(text) > OUTPUT_MAX:
            raise TooLarge("the value")
        outcome = {"Ok": {"value": value, "truth": False}}
    except BaseException as error:
        outcome = {"Err": failure(error)}
    finally:
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        os.chdir(ROOT)
    forget_workspace()
    return {"outcome": outcome, "printed": "".join(printed.parts), "retire": threading.active_count() > 2}


def main():
    threading.Thread(target=watch_parent, daemon=True).start()
    while True:
        head = JOBS.read(4)
        if len(head) < 4:
            return
        body = JOBS.read(int.from_bytes(head, "little"))
        reply = json.dumps(answer(json.loads(body)), ensure_ascii=False).encode("utf-8", "replace")
        REPLIES.write(len(reply).to_bytes(4, "little") + reply)
        REPLIES.flush()


main()
