import collections
import queue
import secrets
import sys
import threading
import time


class Output:
    """The value of a node and what goes with it."""

    def __init__(self, body, published="normal", forms=None, variables=None, exposed=None, messages=()):
        self.body = body
        self.published = published
        self.forms = forms
        self.variables = variables or {}
        self.exposed = exposed or {}
        self.messages = list(messages)


class Context:
    """What a node may see of its run."""

    def __init__(self, run, node, live):
        self.run = run
        self.idx = node
        self.node = run.plan["nodes"][node]
        self.id = self.node["id"]
        self.label = self.node["label"]
        self.iteration = live.iteration
        self.names = Names(run.exposed, live.inputs, run.variables, self.id)
        self.timeout = self.node.get("timeout")
        self.strict_templates = self.node.get("strict_templates", False)
        self.messages = list(run.messages)
        self.started = list(run.schedule.started)
        self.completed = list(run.completed)
        self.begun = time.monotonic()
        self.warn = live.warn


class Live:
    """One execution of a node that is under way."""

    def __init__(self, iteration, inputs):
        self.iteration = iteration
        self.inputs = inputs
        self.attempt = 1
        self.deadline = None
        self.warnings = []

    def warn(self, code, name, message):
        if not any(it["code"] == code and it["name"] == name for it in self.warnings):
            self.warnings.append({"code": code, "name": name, "message": message})


RETRIED_WHEN_ASKED = ("CODE_FAILED", "REPLY_INVALID", "FILE_NOT_FOUND", "FILE_FAILED")
RETRIED_BY_KIND = ("LLM_FAILED", "HTTP_FAILED", "HTTP_STATUS")
RETRY_DELAY_MS_MAX = 30_000


def may_retry(failure, is_asked):
    if failure.code in RETRIED_BY_KIND:
        return failure.retryable
    return is_asked and failure.code in RETRIED_WHEN_ASKED


def retry_delay(retry, attempt, failure):
    """Seconds before an attempt; the second attempt is the first repetition."""
    asked = (failure.details or {}).get("retry_after_ms")
    growth = {"fixed": 1, "linear": attempt - 1, "exponential": 2 ** (attempt - 2)}[retry["backoff"]]
    return min(asked if asked is not None else retry["delay_ms"] * growth, RETRY_DELAY_MS_MAX) / 1000


class Run:
    """One run of the plan: starts what may start, takes up what is finished."""

    def __init__(self, plan, functions, persons, inputs, files):
        self.plan = plan
        self.functions = functions
        self.persons = persons
        self.files = files
        self.id = "exec_" + secrets.token_hex(16)
        self.schedule = Schedule(plan)
        self.values = [None] * len(plan["edges"])
        self.variables = dict(inputs)
        self.exposed = {}
        self.messages = []
        self.calls = collections.Counter()
        self.lock = threading.Lock()
        self.live = {}
        self.outputs = {}
        self.completed = [0] * len(plan["nodes"])
        self.failed = set()
        self.handled_errors = []
        self.warnings = []
        self.replaced = collections.Counter()
        self.at_once = collections.deque()
        self.later = queue.Queue()
        self.questions = None
        self.deadline = None
        if plan["limits"].get("timeout"):
            self.deadline = time.monotonic() + plan["limits"]["timeout"]

    def go(self):
        """Runs to the end; returns the error object of a failed run, None when it completed."""
        try:
            while True:
                self.start_ready()
                if not self.live:
                    self.schedule.check_end()
                    return None
                error = self.take_up(*self.next_finished())
                if error is not None:
                    return error
        except Failure as failure:
            return failure.to_object()

    def start_ready(self):
        while True:
            started = self.schedule.next_start()
            if started is None:
                return
            node, iteration, edges = started
            live = Live(iteration, {})
            self.live[node] = live
            try:
                live.inputs = self.take_inputs(edges)
            except Failure as failure:
                self.at_once.append((node, live, 1, failure))
                continue
            self.attempt(node, live, 0)

    def take_inputs(self, edges):
        inputs, problem = {}, None
        for edge in edges:
            (body, forms), wiring = self.values[edge], self.plan["edges"][edge]
            self.values[edge] = None
            try:
                value = convert(body, forms, wiring.get("content_type"))
            except Failure as failure:
                problem = problem or failure
                continue
            if value is not NOTHING:
                inputs[wiring["key"]] = value
        if problem is not None:
            raise problem
        return inputs

    def attempt(self, node, live, delay):
        """Runs one attempt: what takes its time in a thread of its own, everything else right here."""
        cx, number = Context(self, node, live), live.attempt
        if not delay and not self.plan["nodes"][node].get("is_slow"):
            self.at_once.append((node, live, number, self.outcome(cx)))
            return
        if cx.timeout is not None and cx.node["type"] != "user_response":
            live.deadline = time.monotonic() + delay + cx.timeout

        def work():
            time.sleep(delay)
            self.later.put((node, live, number, self.outcome(cx)))

        if cx.node["type"] == "user_response":
            self.ask_in_turn(work)
        else:
            threading.Thread(target=work, daemon=True).start()

    def ask_in_turn(self, work):
        """Questions are asked one after the other, in the order in which their nodes start."""

        def ask():
            while True:
                self.questions.get()()

        if self.questions is None:
            self.questions = queue.Queue()
            threading.Thread(target=ask, daemon=True).start()
        self.questions.put(work)

    def outcome(self, cx):
        try:
            return self.functions[cx.idx](cx)
        except Failure as failure:
            return failure
        except RecursionError:
            return Failure("TEMPLATE_FAILED", "a value is nested too deeply")
        except Exception as error:
            return Failure("INTERNAL", "node `%s`: %s: %s" % (cx.label, type(error).__name__, error))

    def next_finished(self):
        """Waits for the next attempt to end, or to pass its time limit."""
        while True:
            if self.at_once:
                return self.at_once.popleft()
            now = time.monotonic()
            limits = [(it.deadline, node) for node, it in self.live.items() if it.deadline is not None]
            first = min(limits) if limits else None
            if first and first[0] <= now:
                return self.timed_out(first[1])
            if self.deadline is not None and self.deadline <= now:
                seconds = number_text(self.plan["limits"]["timeout"])
                raise Failure("EXECUTION_TIMEOUT", "the run did not end within %s s" % seconds, "raise its `timeout`")
            until = [it for it in (first and first[0], self.deadline) if it is not None]
            try:
                found = self.later.get(timeout=min(until) - now if until else None)
            except queue.Empty:
                found = None
            self.leave_out_waiting(now)
            if found is not None and self.live.get(found[0]) is found[1] and found[1].attempt == found[2]:
                return found

    def leave_out_waiting(self, since):
        """Time in which everything waits for answers does not count as running time."""
        is_asked = all(self.plan["nodes"][it]["type"] == "user_response" for it in self.live)
        if self.deadline is not None and is_asked:
            self.deadline += time.monotonic() - since

    def timed_out(self, node):
        live, limit = self.live[node], number_text(self.plan["nodes"][node]["timeout"])
        live.deadline = None
        failure = Failure("NODE_TIMEOUT", "the node did not finish within %s s" % limit, "raise the node's `timeout`")
        return node, live, live.attempt, failure

    def take_up(self, node, live, number, outcome):
        if isinstance(outcome, Failure):
            return self.take_failure(node, live, outcome)
        del self.live[node]
        self.keep_warnings(node, live)
        self.messages += outcome.messages
        self.variables = {**self.variables, **outcome.variables}
        self.exposed = {**self.exposed, **outcome.exposed}
        self.completed[node] += 1
        self.failed.discard(node)
        self.outputs[node] = outcome.body
        self.publish(node, (outcome.body, outcome.forms), outcome.published)
        return None

    def take_failure(self, node, live, failure):
        """Tries again, lets the failure flow on `error`, or returns it as the failure of the run."""
        wiring, retry = self.plan["nodes"][node], self.plan["nodes"][node]["retry"]
        live.deadline = None
        if live.attempt < retry["max_attempts"] and may_retry(failure, retry["is_asked"]):
            live.attempt += 1
            self.attempt(node, live, retry_delay(retry, live.attempt, failure))
            return None
        del self.live[node]
        self.keep_warnings(node, live)
        place = {"node": wiring["label"], "node_id": wiring["id"], "iteration": live.iteration}
        error = {**failure.to_object(), **place, "attempts": live.attempt, "retryable": failure.retryable}
        self.failed.add(node)
        if not wiring["continues"]:
            return error
        self.handled_errors.append(error)
        self.publish(node, (error, None), "error")
        return None

    def publish(self, node, value, published):
        edges, replaced = self.schedule.complete(node, published)
        for edge in edges:
            self.values[edge] = value
        self.replaced.update(replaced)

    def keep_warnings(self, node, live):
        label = self.plan["nodes"][node]["label"]
        self.warnings += [{"code": it["code"], "node": label, **it} for it in live.warnings]

    def all_warnings(self):
        """The warnings of the run and of its connections."""

        def of_edge(code, edge, message):
            source, target = self.schedule.source_text(edge), self.plan["nodes"][self.plan["edges"][edge]["to"]]["label"]
            words = {"from": source, "to": target}
            return {"code": code, "node": target, "name": "%s -> %s" % (source, target), "message": message % words}

        replaced = [
            of_edge("W602", edge, "a value from %(from)s was replaced before `%(to)s` could use it")
            for edge in sorted(self.replaced)
        ]
        unused = [
            of_edge("W603", edge, "a value from %(from)s was never used by `%(to)s`")
            for edge in self.schedule.never_used()
        ]
        return self.warnings + replaced + unused

    def result_map(self):
        """Label to value of the endpoints that ran; without endpoints, of the last nodes that completed."""
        nodes = self.plan["nodes"]
        has_endpoint = any(it["type"] == "endpoint" for it in nodes)
        is_last = [it["type"] == "endpoint" if has_endpoint else not out for it, out in zip(nodes, self.schedule.outgoing)]
        return {nodes[n]["label"]: self.outputs[n] for n in range(len(nodes)) if is_last[n] and n in self.outputs}

    def result(self):
        found = self.result_map()
        return (found if len(found) > 1 else next(iter(found.values()))) if found else None

    def details(self, error):
        nodes = self.plan["nodes"]
        started = self.schedule.started
        found = {
            "status": "completed" if error is None else "failed",
            "result": self.result(),
            "outputs": self.result_map() or None,
            "error": error,
            "handled_errors": self.handled_errors,
            "warnings": self.all_warnings(),
            "skipped": [it["label"] for n, it in enumerate(nodes) if not started[n]],
            "counts": {it["id"]: started[n] for n, it in enumerate(nodes) if started[n]},
            "messages": self.messages,
        }
        return {key: it for key, it in found.items() if it is not None or key == "result"}


def say(text):
    print(text, file=sys.stderr, flush=True)
