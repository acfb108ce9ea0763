class Schedule:
    """Decides which node may fire. An edge holds at most one token, the newest wins. A node fires when it has a
    token and nothing more can come for it in this round of the loops it is in; what comes along a back edge of
    such a loop belongs to the next round."""

    def __init__(self, plan):
        self.nodes = plan["nodes"]
        self.edges = plan["edges"]
        self.limits = plan["limits"]
        self.tokens = [False] * len(self.edges)
        self.started = [0] * len(self.nodes)
        self.running = set()
        self.incoming = [[e for e, it in enumerate(self.edges) if it["to"] == n] for n in range(len(self.nodes))]
        self.outgoing = [[e for e, it in enumerate(self.edges) if it["from"] == n] for n in range(len(self.nodes))]
        self.takes_first = [any(self.edges[e]["input"] == "first" for e in it) for it in self.incoming]
        self.loop_of = {e: set(loop["members"]) for loop in plan["loops"] for e in loop["back_edges"]}
        # Without any other start, those that wait for an event fire all the same.
        is_plain = [it["type"] == "start" and not it.get("is_hook") for it in self.nodes]
        fires = [not it.get("is_hook") or not any(is_plain) for it in self.nodes]
        self.startable = {n for n in range(len(self.nodes)) if fires[n] and not self.incoming[n]}

    def is_exhausted(self, node):
        most = self.nodes[node].get("max_iteration")
        return most is not None and most <= self.started[node]

    def is_relevant(self, edge):
        """At a node with `first` edges these feed the first run and the others the later ones."""
        target = self.edges[edge]["to"]
        return not self.takes_first[target] or (self.edges[edge]["input"] == "first") == (self.started[target] == 0)

    def relevant(self, node):
        return [e for e in self.incoming[node] if self.is_relevant(e)]

    def usable(self, node):
        return [] if self.is_exhausted(node) else [e for e in self.relevant(node) if self.tokens[e]]

    def candidates(self):
        waiting = [n for n in range(len(self.nodes)) if n not in self.running]
        ready = [n for n in waiting if n in self.startable or self.usable(n)]
        return sorted(ready, key=lambda n: (self.nodes[n]["rank"], n))

    def begins_round_of(self, edge, node):
        return node in self.loop_of.get(edge, ())

    def moves_for(self, node, target):
        """Whether what is at `node` counts for `target`."""
        if node in self.running or node in self.startable:
            return True
        return any(not self.begins_round_of(e, target) for e in self.usable(node))

    def is_passable(self, edge):
        target = self.edges[edge]["to"]
        is_left_behind = self.edges[edge]["input"] == "first" and self.started[target] > 0
        return not is_left_behind and not self.is_exhausted(target)

    def can_still_come(self, edge):
        """Whether something on its way can reach `edge` before its target fires."""
        source, target = self.edges[edge]["from"], self.edges[edge]["to"]
        seen, todo = {target, source}, [source] if source != target else []
        while todo:
            node = todo.pop()
            if self.moves_for(node, target):
                return True
            for before in self.incoming[node]:
                origin = self.edges[before]["from"]
                if origin not in seen and self.is_passable(before) and not self.begins_round_of(before, target):
                    seen.add(origin)
                    todo.append(origin)
        return False

    def is_skippable(self, edge):
        source = self.edges[edge]["from"]
        others = self.relevant(self.edges[edge]["to"])
        return self.nodes[source].get("skippable", False) and any(self.edges[e]["from"] != source for e in others)

    def waits(self, node):
        edges = self.relevant(node)
        woken_forward = any(self.tokens[e] and e not in self.loop_of for e in edges)
        awaited = [e for e in edges if not self.tokens[e] and not (woken_forward and e in self.loop_of)]
        return any(not self.is_skippable(e) and self.can_still_come(e) for e in awaited)

    def next_start(self):
        """The node to start now, with its iteration and the edges whose tokens it takes; None when none may."""
        if len(self.running) >= max(1, self.limits["parallel"]):
            return None
        node = next((n for n in self.candidates() if not self.waits(n)), None)
        if node is None:
            return None
        self.check_limits(node)
        edges = [e for e in self.relevant(node) if self.tokens[e]]
        for edge in edges:
            self.tokens[edge] = False
        self.started[node] += 1
        self.startable.discard(node)
        self.running.add(node)
        return node, self.started[node], edges

    def check_limits(self, node):
        label = self.nodes[node]["label"]
        place = {"node": label, "node_id": self.nodes[node]["id"]}
        most = max(self.nodes[node].get("max_iteration") or 0, self.limits["node_iterations"])
        if self.started[node] >= most:
            message = "`%s` has run as often as `max_node_iterations` allows" % label
            raise Failure("ITERATION_LIMIT", message, "end the loop with a condition", place=place)
        if sum(self.started) >= self.limits["node_executions"]:
            message = "the next start of `%s` would be one more than `max_node_executions` allows" % label
            raise Failure("NODE_LIMIT", message, "end the loop with a condition", place=place)

    def complete(self, node, published):
        """Puts the tokens of a completion; returns its edges and which of them still held a token."""
        self.running.discard(node)
        edges = [e for e in self.outgoing[node] if self.goes_out(published, self.edges[e]["output"])]
        replaced = [e for e in edges if self.tokens[e]]
        for edge in edges:
            self.tokens[edge] = True
        return edges, replaced

    @staticmethod
    def goes_out(published, output):
        return output != "error" if published == "normal" else output == published

    def check_end(self):
        """What is wrong with ending here, as a failure."""
        stuck = [self.nodes[n]["label"] for n in self.candidates()]
        if stuck:
            raise Failure("STUCK", "the scheduler stopped although %s could still run" % ", ".join(stuck))
        endpoints = [n for n, it in enumerate(self.nodes) if it["type"] == "endpoint"]
        if not endpoints or any(self.started[n] for n in endpoints):
            return
        waiting = sorted({self.edges[e]["to"] for e, it in enumerate(self.tokens) if it})
        texts = [self.waiting_text(n) for n in waiting]
        message = "; ".join(["the run ended without reaching an endpoint"] + texts)
        hint = "give every branch a way to an endpoint, or raise `max_iteration`"
        raise Failure("NO_ENDPOINT", message, hint, details={"nodes": [self.nodes[n]["label"] for n in waiting]})

    def waiting_text(self, node):
        tokens = [e for e in self.incoming[node] if self.tokens[e]]
        why = "max_iteration %d reached, " % self.nodes[node]["max_iteration"] if self.is_exhausted(node) else ""
        sources = " and ".join(self.source_text(e) for e in tokens)
        return "%s: %sa token from %s waits" % (self.nodes[node]["label"], why, sources)

    def source_text(self, edge):
        label, output = self.nodes[self.edges[edge]["from"]]["label"], self.edges[edge]["output"]
        return label if output == "default" else "%s[%s]" % (label, output)

    def never_used(self):
        return [e for e, it in enumerate(self.tokens) if it and not self.is_relevant(e)]
