//! Which Python may run inside the server itself: short texts without loops, whose work and memory
//! are bounded by their length. Everything else goes to the worker process.
//!
//! A text without loops can still explode: `x = [x, x]` doubles with every line, `'a' * n` is as long
//! as `n` says. So each value gets a *weight*, an upper bound of its size in units of the largest
//! input, and a text whose values could grow beyond a fixed weight is not straight.

use std::collections::HashMap;

use ruff_python_ast::{Arguments, Expr, InterpolatedStringElement, Number, Operator, Stmt};

/// Longest straight text, in syntax nodes.
const NODES_MAX: u32 = 500;
/// Heaviest value of a straight text.
const WEIGHT_MAX: u32 = 1_000;
/// Weight of a text or list repeated by a number that only the run knows: the interpreter refuses
/// results above the memory limit of an inline run, which is this many times [`INPUT_BYTES_MAX`].
const REPEATED_WEIGHT: u32 = 2;
/// Largest input of an inline run, in bytes: what the weight of 1 stands for.
pub(in crate::code) const INPUT_BYTES_MAX: usize = 64 * 1024;
/// Largest single allocation of an inline run, in bytes. It also bounds integers, whose conversion to
/// text takes time with the square of their length and cannot be interrupted.
pub(in crate::code) const MEMORY_BYTES_MAX: usize = 128 * 1024;
/// Largest exponent of a power.
const EXPONENT_MAX: i64 = 8;
/// Largest width in a format specification, in digits.
const FORMAT_DIGITS_MAX: usize = 3;

/// Functions whose work and result are bounded by their arguments.
const FUNCTIONS: [&str; 20] = [
    "abs",
    "all",
    "any",
    "bool",
    "dict",
    "float",
    "int",
    "isinstance",
    "len",
    "list",
    "max",
    "min",
    "print",
    "repr",
    "round",
    "set",
    "sorted",
    "str",
    "sum",
    "tuple",
];

/// Methods of texts, lists and dicts whose work and result are bounded by their object.
const METHODS: [&str; 21] = [
    "capitalize",
    "count",
    "endswith",
    "find",
    "get",
    "index",
    "isalnum",
    "isalpha",
    "isdigit",
    "isnumeric",
    "items",
    "keys",
    "lower",
    "lstrip",
    "rstrip",
    "split",
    "startswith",
    "strip",
    "title",
    "upper",
    "values",
];

/// Whether a text of these statements may run inline; `function_name` is called once at its end.
pub(in crate::code) fn is_straight(body: &[Stmt], function_name: &str) -> bool {
    let mut weigher = Weigher { n_nodes: 0, weights: HashMap::new(), functions: Vec::new(), function_name };
    weigher.block(body).and_then(|()| weigher.called_at_the_end()).is_some()
}

/// Whether one expression may be evaluated inline.
pub(in crate::code) fn is_straight_expression(expression: &Expr) -> bool {
    let mut weigher = Weigher { n_nodes: 0, weights: HashMap::new(), functions: Vec::new(), function_name: "" };
    weigher.weigh(expression).is_some()
}

struct Weigher<'a> {
    n_nodes: u32,
    /// Heaviest value so far of each name the text assigns.
    weights: HashMap<&'a str, u32>,
    /// Functions that wait to be weighed: they see what is assigned after them.
    functions: Vec<&'a [Stmt]>,
    function_name: &'a str,
}

/// All methods return `None` when the text is not straight.
impl<'a> Weigher<'a> {
    fn block(&mut self, body: &'a [Stmt]) -> Option<()> {
        body.iter().try_for_each(|it| self.statement(it))
    }

    fn statement(&mut self, statement: &'a Stmt) -> Option<()> {
        self.count()?;
        match statement {
            Stmt::Pass(_) => Some(()),
            Stmt::Expr(it) => self.weigh(&it.value).map(drop),
            Stmt::Return(it) => self.weigh_option(it.value.as_deref()).map(drop),
            Stmt::Assign(it) => {
                let weight = self.weigh(&it.value)?;
                it.targets.iter().try_for_each(|target| self.assign(target, weight))
            }
            Stmt::AnnAssign(it) => {
                let weight = self.weigh_option(it.value.as_deref())?;
                self.assign(&it.target, weight)
            }
            Stmt::If(it) => {
                self.weigh(&it.test)?;
                self.block(&it.body)?;
                it.elif_else_clauses.iter().try_for_each(|clause| {
                    self.weigh_option(clause.test.as_ref())?;
                    self.block(&clause.body)
                })
            }
            // Only the one function that is called at the end, once: nobody else can call it, because
            // calls by name are allowed for `FUNCTIONS` alone.
            Stmt::FunctionDef(it)
                if it.name.as_str() == self.function_name
                    && !FUNCTIONS.contains(&it.name.as_str())
                    && !it.is_async
                    && it.decorator_list.is_empty() =>
            {
                for parameter in it.parameters.iter_non_variadic_params() {
                    let weight = self.weigh_option(parameter.default.as_deref())?;
                    self.note(parameter.parameter.name.as_str(), weight)?;
                }
                self.functions.push(&it.body);
                Some(())
            }
            _ => None,
        }
    }

    fn called_at_the_end(&mut self) -> Option<()> {
        std::mem::take(&mut self.functions).into_iter().try_for_each(|it| self.block(it))?;
        // A function within a function would be weighed by nobody.
        self.functions.is_empty().then_some(())
    }

    /// Changing a value in place would also change what shares it, so only names are assigned.
    fn assign(&mut self, target: &'a Expr, weight: u32) -> Option<()> {
        let Expr::Name(name) = target else { return None };
        self.note(name.id.as_str(), weight)
    }

    fn note(&mut self, name: &'a str, weight: u32) -> Option<()> {
        if FUNCTIONS.contains(&name) {
            return None;
        }
        let known = self.weights.entry(name).or_insert(0);
        *known = (*known).max(weight);
        Some(())
    }

    fn weigh(&mut self, expression: &'a Expr) -> Option<u32> {
        self.count()?;
        let weight = match expression {
            Expr::StringLiteral(_)
            | Expr::NumberLiteral(_)
            | Expr::BooleanLiteral(_)
            | Expr::NoneLiteral(_)
            | Expr::EllipsisLiteral(_) => 1,
            Expr::Name(name) => self.weights.get(name.id.as_str()).copied().unwrap_or(1),
            Expr::Named(it) => {
                let weight = self.weigh(&it.value)?;
                self.assign(&it.target, weight)?;
                weight
            }
            Expr::BoolOp(it) => self.weigh_all(&it.values)?,
            Expr::BinOp(it) => self.weigh_operation(&it.left, it.op, &it.right)?,
            Expr::UnaryOp(it) => self.weigh(&it.operand)?,
            Expr::If(it) => self.weigh_all([&*it.test, &*it.body, &*it.orelse])?,
            Expr::Compare(it) => self.weigh(&it.left)?.checked_add(self.weigh_all(&it.comparators)?)?,
            Expr::List(it) => self.weigh_all(&it.elts)?,
            Expr::Tuple(it) => self.weigh_all(&it.elts)?,
            Expr::Set(it) => self.weigh_all(&it.elts)?,
            Expr::Dict(it) => self.weigh_all(it.items.iter().flat_map(|pair| pair.key.iter().chain([&pair.value])))?,
            Expr::Starred(it) => self.weigh(&it.value)?,
            Expr::Attribute(it) => self.weigh(&it.value)?,
            Expr::Subscript(it) => self.weigh_all([&*it.value, &*it.slice])?,
            Expr::Slice(it) => {
                let parts = [it.lower.as_deref(), it.upper.as_deref(), it.step.as_deref()];
                self.weigh_all(parts.into_iter().flatten())?
            }
            Expr::Call(it) => self.weigh_call(&it.func, &it.arguments)?,
            Expr::FString(it) => {
                let mut sum = 1_u32;
                for element in it.value.elements() {
                    sum = sum.checked_add(self.weigh_element(element)?)?;
                }
                sum
            }
            _ => return None,
        };
        (weight <= WEIGHT_MAX).then_some(weight)
    }

    fn weigh_all(&mut self, parts: impl IntoIterator<Item = &'a Expr>) -> Option<u32> {
        let mut sum = 1_u32;
        for part in parts {
            sum = sum.checked_add(self.weigh(part)?)?;
        }
        Some(sum)
    }

    fn weigh_option(&mut self, expression: Option<&'a Expr>) -> Option<u32> {
        expression.map_or(Some(1), |it| self.weigh(it))
    }

    fn weigh_operation(&mut self, left: &'a Expr, operator: Operator, right: &'a Expr) -> Option<u32> {
        let sum = self.weigh_all([left, right])?;
        match operator {
            Operator::Mult => sum.checked_add(REPEATED_WEIGHT),
            Operator::Pow => literal_int(right).filter(|it| (0..=EXPONENT_MAX).contains(it)).map(|_| sum),
            Operator::LShift | Operator::MatMult => None,
            _ => Some(sum),
        }
    }

    fn weigh_call(&mut self, function: &'a Expr, arguments: &'a Arguments) -> Option<u32> {
        let sum = self.weigh_all(arguments.args.iter().chain(arguments.keywords.iter().map(|it| &it.value)))?;
        match function {
            // A start value makes `sum` concatenate lists again and again.
            Expr::Name(name) if name.id.as_str() == "sum" && arguments.args.len() != 1 => None,
            Expr::Name(name) => FUNCTIONS.contains(&name.id.as_str()).then_some(sum),
            Expr::Attribute(it) if METHODS.contains(&it.attr.as_str()) => sum.checked_add(self.weigh(&it.value)?),
            _ => None,
        }
    }

    fn weigh_element(&mut self, element: &'a InterpolatedStringElement) -> Option<u32> {
        let InterpolatedStringElement::Interpolation(it) = element else { return Some(1) };
        for part in it.format_spec.iter().flat_map(|spec| spec.elements.iter()) {
            let InterpolatedStringElement::Literal(text) = part else { return None };
            if text.value.split(|it: char| !it.is_ascii_digit()).any(|it| it.len() > FORMAT_DIGITS_MAX) {
                return None;
            }
        }
        self.weigh(&it.expression)
    }

    fn count(&mut self) -> Option<()> {
        self.n_nodes += 1;
        (self.n_nodes <= NODES_MAX).then_some(())
    }
}

fn literal_int(expression: &Expr) -> Option<i64> {
    match expression {
        Expr::NumberLiteral(it) => match &it.value {
            Number::Int(int) => int.as_i64(),
            Number::Float(_) | Number::Complex { .. } => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn straight(source: &str) -> bool {
        is_straight(ruff_python_parser::parse_module(source).unwrap().suite(), "main")
    }

    #[test]
    fn everyday_snippets_are_straight() {
        for source in [
            "result = {'i': i + 1, 'out': 'x' * 256}",
            "def main(inputs):\n    return {'n': len(inputs['a']), 'b': inputs.get('b', 3)}",
            "if n > 3:\n    result = n ** 2\nelse:\n    result = f'{n:.2f} {name.upper()}'",
            "print('hi')\nreturn [*xs, 1][1:]",
        ] {
            assert!(straight(source), "{source}");
        }
    }

    #[test]
    fn whatever_could_take_long_or_grow_is_not() {
        let doubling = (0..20).map(|_| "x = [x, x]\n").collect::<String>();
        let adding = (0..20).map(|_| "x = x + x\n").collect::<String>();
        let heavy = format!("x = [{}]\n", "1, ".repeat(100));
        let by_default = format!("{heavy}def main(y=x): return [{}]", "y, ".repeat(100));
        let by_order = format!("def main(): return [{}]\n{heavy}", "x, ".repeat(100));
        let long = format!("result = [{}]", "1, ".repeat(600));
        for source in [
            "while True: pass",
            "for x in y: pass",
            "result = [x for x in y]",
            "result = any(x for x in y)",
            "f = lambda: 1",
            "import json",
            "def other(): pass",
            "def main(): return main()",
            "class A: pass",
            "x += x",
            "x['a'] = x",
            "len = max",
            "result = 2 ** n",
            "result = 2 ** 9",
            "result = 1 << n",
            "result = ','.join(x)",
            "result = x.replace('a', y)",
            "result = sum(x, [])",
            "result = f'{x:>9999}'",
            "result = f'{x:{n}}'",
            "result = range(9)",
            "def main():\n    def main(): pass",
            by_default.as_str(),
            by_order.as_str(),
            doubling.as_str(),
            adding.as_str(),
            long.as_str(),
        ] {
            assert!(!straight(source), "{source}");
        }
    }
}
