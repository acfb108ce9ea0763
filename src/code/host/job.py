# What a piece of the user's Python means: how it is compiled, how its function is called, and which value
# is its result. The driver of the host and exported scripts both begin with this file.
import ast
import json
import os
import sys
import types

DEPTH_MAX = 100
SPECIAL = ("inputs", "globals", "node_id")
END = object()
COMPILED = {}


def bound_names(body):
    """Names that the top level binds."""
    names = set()

    class Finder(ast.NodeVisitor):
        def visit_FunctionDef(self, node):
            names.add(node.name)

        visit_AsyncFunctionDef = visit_ClassDef = visit_FunctionDef

        def visit_Lambda(self, node):
            pass

        visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_Lambda

        def visit_Name(self, node):
            if isinstance(node.ctx, (ast.Store, ast.Del)):
                names.add(node.id)

        def visit_alias(self, node):
            if node.name != "*":
                names.add((node.asname or node.name).split(".")[0])

        def visit_ExceptHandler(self, node):
            if node.name:
                names.add(node.name)
            self.generic_visit(node)

    for statement in body:
        Finder().visit(statement)
    return names


def at_top(body, kinds):
    """Whether a node of these kinds stands outside of functions and classes."""
    todo = list(body)
    while todo:
        node = todo.pop()
        if isinstance(node, kinds):
            return True
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            todo.extend(ast.iter_child_nodes(node))
    return False


class PlainAssignments(ast.NodeTransformer):
    """Annotated names cannot be global, so annotations go."""

    def visit_AnnAssign(self, node):
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        return ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node)

    def visit_FunctionDef(self, node):
        return node

    visit_AsyncFunctionDef = visit_ClassDef = visit_FunctionDef


def into_function(tree):
    """Python knows no `return` at the top: the text becomes a function whose names are all global."""
    future = [it for it in tree.body if isinstance(it, ast.ImportFrom) and it.module == "__future__"]
    body = [PlainAssignments().visit(it) for it in tree.body if it not in future]
    names = sorted(bound_names(body))
    is_async = at_top(body, (ast.Await, ast.AsyncFor, ast.AsyncWith))
    made = ast.parse(("async " if is_async else "") + "def __dipeo_body__():\n    return __dipeo_end__")
    if names:
        body.insert(0, ast.Global(names=names))
    made.body[0].body = body + made.body[0].body
    tree.body = future + made.body
    ast.fix_missing_locations(tree)
    return tree


def compiled(source):
    if source not in COMPILED:
        if len(COMPILED) > 500:
            COMPILED.clear()
        tree = ast.parse(source, "code")
        has_return = at_top(tree.body, ast.Return)
        if has_return:
            tree = into_function(tree)
        code = compile(tree, "code", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, True)
        COMPILED[source] = code, has_return
    return COMPILED[source]


def argument(job, name):
    if name in SPECIAL:
        return job[name]
    return job["names"][name] if name in job["names"] else job["inputs"][name]


def call(job, function):
    import inspect

    kinds = inspect.Parameter
    parameters = list(inspect.signature(function).parameters.values())
    named = [it for it in parameters if it.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)]
    takes_all = any(it.kind is kinds.VAR_KEYWORD for it in parameters)
    if not takes_all and not named:
        return function()
    if not takes_all and len(named) == 1 and named[0].kind is not kinds.KEYWORD_ONLY:
        return function(dict(job["inputs"]))
    has = lambda it: it.name in SPECIAL or it.name in job["names"] or it.name in job["inputs"]
    positional, keywords, is_open = [], {}, True
    for parameter in named:
        by_position = parameter.kind is kinds.POSITIONAL_ONLY
        is_given = has(parameter) and (is_open or not by_position)
        if not is_given:
            is_open = is_open and not by_position
            if parameter.default is kinds.empty:
                given = ", ".join("`%s`" % it for it in job["inputs"])
                given = "the inputs are " + given if given else "there are no inputs"
                raise TypeError("`%s` requires `%s`; %s" % (job["function_name"], parameter.name, given))
        elif by_position:
            positional.append(argument(job, parameter.name))
        else:
            keywords[parameter.name] = argument(job, parameter.name)
    if takes_all:
        taken = {it.name for it in named}
        keywords.update({name: it for name, it in job["inputs"].items() if name not in taken})
    return function(*positional, **keywords)


def choose(job, space, returned):
    if returned is not END:
        return returned
    if "result" in space:
        return space["result"]
    function = space.get(job["function_name"])
    # An input of that name is data; only what the code defines is called.
    if isinstance(function, types.FunctionType):
        return call(job, function)
    return None


def run(job, space):
    code, has_return = compiled(job["source"])
    value = eval(code, space)
    if isinstance(value, types.CoroutineType):
        # `await` at the top: everything happens in one event loop.
        async def whole():
            await value
            return await settled(choose(job, space, END))

        return in_loop(whole())
    returned = END
    if has_return:
        returned = space["__dipeo_body__"]()
        if isinstance(returned, types.CoroutineType):
            body = returned

            async def whole():
                return await settled(choose(job, space, await body))

            return in_loop(whole())
    value = choose(job, space, returned)
    if hasattr(value, "__await__"):
        return in_loop(settled(value))
    return value


async def settled(value):
    return await value if hasattr(value, "__await__") else value


def in_loop(coroutine):
    import asyncio

    return asyncio.run(coroutine)


def refuse(path, what):
    place = "the value at `%s`" % path.lstrip(".") if path else "the value"
    raise TypeError("%s is %s, which is not JSON" % (place, what))


def order(value):
    rank = [type(None), bool, (int, float), str, list, dict]
    at = next(i for i, kind in enumerate(rank) if isinstance(value, kind))
    return (at, value) if at in (2, 3) else (at, json.dumps(value))


def key_text(key, path):
    if isinstance(key, str):
        return str(key)
    if key is None or isinstance(key, (bool, int, float)):
        return json.dumps(key)
    return refuse(path, "a dict with a key of type `%s`" % type(key).__name__)


def plain(value, path="", open_ids=()):
    """The value as JSON has it; what has no place there is an error that names its own."""
    if value is None or isinstance(value, bool):
        return value
    kind = type(value)
    enum = sys.modules.get("enum")
    if enum and isinstance(value, enum.Enum):
        return plain(value.value, path, open_ids)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**64 else refuse(path, "an integer beyond 64 bits")
    if isinstance(value, float):
        finite = value == value and value not in (float("inf"), float("-inf"))
        return float(value) if finite else refuse(path, "the number `%s`" % value)
    if kind.__module__ == "datetime" and hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if id(value) in open_ids:
        refuse(path, "a value that contains itself")
    if len(open_ids) >= DEPTH_MAX:
        raise RecursionError("a value is nested deeper than %d levels" % DEPTH_MAX)
    inner = open_ids + (id(value),)
    pairs = None
    if isinstance(value, dict):
        pairs = value
    elif isinstance(value, tuple) and hasattr(value, "_asdict"):
        pairs = value._asdict()
    elif hasattr(kind, "__dataclass_fields__"):
        pairs = {name: getattr(value, name) for name in kind.__dataclass_fields__}
    elif kind.__module__ == "__main__" and hasattr(value, "__dict__"):
        pairs = vars(value)
    if pairs is not None:
        return {
            key_text(key, path): plain(item, "%s.%s" % (path, key), inner) for key, item in pairs.items()
        }
    if isinstance(value, (list, tuple, types.GeneratorType)) or kind.__name__ == "deque":
        return [plain(item, "%s[%d]" % (path, i), inner) for i, item in enumerate(value)]
    if isinstance(value, (set, frozenset)):
        items = [plain(item, "%s[%d]" % (path, i), inner) for i, item in enumerate(value)]
        return sorted(items, key=order)
    if kind is range or kind.__name__ in ("dict_keys", "dict_values", "dict_items"):
        refuse(path, "`%s` (use `list(…)`)" % str(value)[:60])
    return refuse(path, "of type `%s`" % kind.__name__)


def line_of(error):
    if isinstance(error, SyntaxError) and error.filename == "code":
        return error.lineno
    line, step = None, error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == "code":
            line = step.tb_lineno
        step = step.tb_next
    return line
