import queue
import re
import sys
import threading
import time


class Answers:
    """Asks at the terminal; an answer is one line."""

    def __init__(self):
        self.lines = None

    def read(self):
        for line in sys.stdin:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def next_line(self, seconds):
        """The next line, None at the end of the input; queue.Empty when the time is over."""
        if self.lines is None:
            self.lines = queue.Queue()
            threading.Thread(target=self.read, daemon=True).start()
        if seconds is not None and seconds <= 0:
            raise queue.Empty
        line = self.lines.get(timeout=seconds)
        if line is None:
            self.lines.put(None)
        return line

    def ask(self, label, prompt, deadline, check):
        say("[%s] %s" % (label, prompt))
        while True:
            line = self.next_line(None if deadline is None else deadline - time.monotonic())
            if line is None:
                raise EOFError
            answer = check(line)
            if answer is not NOTHING:
                return answer
            say("`%s` does not fit, answer again" % excerpt(line))


ANSWERS = Answers()
YES = ("yes", "y", "true", "approve", "approved", "on")
NO = ("no", "n", "false", "reject", "rejected", "off")


def as_boolean(text):
    word = text.strip().lower() if isinstance(text, str) else text
    return True if word in YES or word is True else False if word in NO or word is False else NOTHING


def as_number(text):
    found = json_or(re.sub(r"^\+", "", text.strip()), NOTHING)
    return found if isinstance(found, (int, float)) and not isinstance(found, bool) else NOTHING


def as_option(text, options):
    folded = text.strip().lower()
    spelled = [(it.strip().lower() if isinstance(it, str) else spell(it), it) for it in options]
    return next((it for name, it in spelled if name == folded), NOTHING)


def as_approval(text):
    given = json_or(text, None)
    if not isinstance(given, dict):
        return as_boolean(text)
    said = [given[key] for key in ("approved", "answer", "decision", "value") if key in given]
    return as_boolean(said[0]) if said else NOTHING


def run_user_response(cx, prompt, wanted="text", options=None, default=NOTHING):
    checks = {"number": as_number, "boolean": as_boolean, "approval": as_approval, "text": lambda it: it}
    check = checks[wanted]
    if options and wanted != "approval":
        check = lambda it: as_option(it, options)
        prompt += " (%s)" % ", ".join(as_text(it) for it in options)
    deadline = None if cx.timeout is None else cx.begun + cx.timeout
    try:
        return Output(ANSWERS.ask(cx.label, render_template(cx, prompt), deadline, check))
    except (queue.Empty, EOFError) as error:
        if default is not NOTHING:
            return Output(default)
        why = "the input ended before anybody answered" if isinstance(error, EOFError) else "nobody answered in time"
        raise Failure("ANSWER_TIMEOUT", why, "give the node a `default` or a longer `timeout`")
