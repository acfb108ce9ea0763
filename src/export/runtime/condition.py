import ast
import builtins

EXPRESSION_FUNCTIONS = {
    name: getattr(builtins, name)
    for name in (
        "len abs min max sum all any bool int float str list dict tuple set round sorted range enumerate zip "
        "isinstance print"
    ).split()
}


def get_attribute(value, key):
    """An attribute of a map is its key, an attribute of null is null."""
    if value is None:
        return None
    return value.get(key) if isinstance(value, dict) else getattr(value, key)


class Attributes(ast.NodeTransformer):
    """Turns `a.b` into the key `b` of `a`; what is called stays the method it is."""

    def visit_Call(self, node):
        method = isinstance(node.func, ast.Attribute)
        if method:
            node.func.value = self.visit(node.func.value)
        else:
            node.func = self.visit(node.func)
        node.args = [self.visit(it) for it in node.args]
        for keyword in node.keywords:
            keyword.value = self.visit(keyword.value)
        return node

    def visit_Attribute(self, node):
        arguments = [self.visit(node.value), ast.Constant(node.attr)]
        return ast.Call(ast.Name("__dipeo_get", ast.Load()), arguments, [])


def evaluate(expression, names):
    tree = ast.parse("(" + expression.strip() + "\n)", "expression", "eval")
    read = {it.id for it in ast.walk(tree) if isinstance(it, ast.Name)}
    known = {name: look_into(names[name]) for name in read if name in names}
    # A name that nobody knows is null, unless it is a function.
    space = {name: None for name in read if name not in names and name not in EXPRESSION_FUNCTIONS}
    space.update(known, __builtins__=EXPRESSION_FUNCTIONS, __dipeo_get=get_attribute)
    tree = ast.fix_missing_locations(Attributes().visit(tree))
    return bool(eval(compile(tree, "expression", "eval"), space))


def custom_rule(cx, expression, exposed):
    names = Names({**cx.names.exposed, **exposed}, cx.names.inputs, cx.names.variables, cx.id)
    looked = {key: {name: look_into(it) for name, it in value.items()} for key, value in
              (("inputs", names.inputs), ("globals", names.globals()))}
    try:
        return evaluate(expression, {**names.all(), **looked, "node_id": cx.id})
    except Exception as error:
        message = "the expression `%s` failed: %s: %s" % (expression.strip(), type(error).__name__, error)
        hint = "compare only what is there: `name is not None and name > 3`, or `map.get(key, default)`"
        raise Failure("EXPRESSION_FAILED", message, hint, kind=type(error).__name__)


def run_condition(cx, expression=None, exhausted=None, executed=None, expose_index_as=None):
    exposed = {expose_index_as: cx.iteration - 1} if expose_index_as else {}
    if expression is not None:
        is_true = custom_rule(cx, expression, exposed)
    elif exhausted is not None:
        begun = [(node, most) for node, most in exhausted if cx.started[node]]
        is_true = bool(begun) and all(cx.started[node] >= most for node, most in begun)
    else:
        is_true = all(cx.completed[node] for node in executed)
    published = "condtrue" if is_true else "condfalse"
    return Output(passed_on(cx.names.inputs), published, exposed=exposed)
