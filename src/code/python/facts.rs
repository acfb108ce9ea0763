//! What the syntax tree says of a piece of Python before it runs: whether it assigns `result`, and
//! how the function it may define wants to be called.

use ruff_python_ast::visitor::{Visitor, walk_comprehension, walk_expr, walk_stmt};
use ruff_python_ast::{Alias, Comprehension, Expr, ExprContext, Parameters, Stmt};

/// Whether the top level of a text binds `result`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::code) enum ResultName {
    Never,
    /// On some paths: only running it tells.
    Maybe,
    /// Whenever the end of the text is reached.
    Always,
}

/// Facts about one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::code) struct Facts {
    pub(in crate::code) result: ResultName,
    /// The function to call, when the text defines one of that name.
    pub(in crate::code) function: Option<Signature>,
}

/// How a function may be called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::code) struct Signature {
    pub(in crate::code) is_async: bool,
    pub(in crate::code) positional_only: Vec<Parameter>,
    /// Parameters that may be given by position or name.
    pub(in crate::code) plain: Vec<Parameter>,
    pub(in crate::code) keyword_only: Vec<Parameter>,
    /// Whether it has `**`.
    pub(in crate::code) takes_all: bool,
}

/// One parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::code) struct Parameter {
    pub(in crate::code) name: String,
    pub(in crate::code) has_default: bool,
}

/// Reads the facts off a syntax tree; `function_name` is the function that would be called.
pub(in crate::code) fn read(body: &[Stmt], function_name: &str) -> Facts {
    let mut finder = Finder { function_name, is_inside: false, binds_result: false, function: None };
    finder.visit_body(body);
    let result = if body.iter().any(assigns_result) {
        ResultName::Always
    } else if finder.binds_result {
        ResultName::Maybe
    } else {
        ResultName::Never
    };
    Facts { result, function: finder.function }
}

/// Whether running this statement to its end binds `result`.
fn assigns_result(statement: &Stmt) -> bool {
    match statement {
        Stmt::Assign(it) => it.targets.iter().any(is_result),
        Stmt::AnnAssign(it) => it.value.is_some() && is_result(&it.target),
        Stmt::AugAssign(it) => is_result(&it.target),
        _ => false,
    }
}

fn is_result(target: &Expr) -> bool {
    matches!(target, Expr::Name(name) if name.id.as_str() == "result")
}

/// Walks the top level, and functions only for `global result`.
struct Finder<'n> {
    function_name: &'n str,
    is_inside: bool,
    binds_result: bool,
    function: Option<Signature>,
}

impl Finder<'_> {
    fn inside(&mut self, walk: impl FnOnce(&mut Self)) {
        let was_inside = std::mem::replace(&mut self.is_inside, true);
        walk(self);
        self.is_inside = was_inside;
    }

    fn binds(&mut self, name: &str) {
        self.binds_result |= !self.is_inside && name == "result";
    }
}

impl<'a> Visitor<'a> for Finder<'_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::FunctionDef(function) => {
                self.binds(function.name.as_str());
                if !self.is_inside && function.name.as_str() == self.function_name {
                    self.function = Some(signature(&function.parameters, function.is_async));
                }
                self.inside(|it| walk_stmt(it, statement));
            }
            Stmt::ClassDef(class) => {
                self.binds(class.name.as_str());
                self.inside(|it| walk_stmt(it, statement));
            }
            Stmt::Global(it) if it.names.iter().any(|name| name.as_str() == "result") => self.binds_result = true,
            _ => walk_stmt(self, statement),
        }
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Name(name) if name.ctx == ExprContext::Store => self.binds(name.id.as_str()),
            Expr::Lambda(_) => self.inside(|it| walk_expr(it, expression)),
            _ => walk_expr(self, expression),
        }
    }

    fn visit_comprehension(&mut self, comprehension: &'a Comprehension) {
        // Its target lives in a scope of its own; a `:=` inside does not, but nobody names that `result`.
        self.inside(|it| walk_comprehension(it, comprehension));
    }

    fn visit_alias(&mut self, alias: &'a Alias) {
        self.binds(alias.asname.as_ref().unwrap_or(&alias.name).as_str());
    }
}

fn signature(parameters: &Parameters, is_async: bool) -> Signature {
    let list = |given: &[ruff_python_ast::ParameterWithDefault]| {
        given
            .iter()
            .map(|it| Parameter { name: it.parameter.name.to_string(), has_default: it.default.is_some() })
            .collect()
    };
    Signature {
        is_async,
        positional_only: list(&parameters.posonlyargs),
        plain: list(&parameters.args),
        keyword_only: list(&parameters.kwonlyargs),
        takes_all: parameters.kwarg.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(source: &str) -> Facts {
        read(ruff_python_parser::parse_module(source).unwrap().suite(), "main")
    }

    #[test]
    fn result_counts_when_the_top_level_binds_it() {
        for (source, expected) in [
            ("result = 1", ResultName::Always),
            ("result: int = 1", ResultName::Always),
            ("result: int", ResultName::Maybe),
            ("a, result = 1, 2", ResultName::Maybe),
            ("if x:\n    result = 1", ResultName::Maybe),
            ("for result in x: pass", ResultName::Maybe),
            ("import json as result", ResultName::Maybe),
            ("def f():\n    global result\n    result = 1\nf()", ResultName::Maybe),
            ("def f():\n    result = 1", ResultName::Never),
            ("class A:\n    result = 1", ResultName::Never),
            ("x = [result for result in y]", ResultName::Never),
            ("x = result", ResultName::Never),
        ] {
            assert_eq!(facts(source).result, expected, "{source}");
        }
    }

    #[test]
    fn the_function_is_found_where_the_top_level_defines_it() {
        let found = facts("if x:\n    async def main(a, /, b, c=1, *, d, **e): pass").function.unwrap();
        assert_eq!((found.is_async, found.takes_all), (true, true));
        let names = |list: &[Parameter]| list.iter().map(|it| (it.name.clone(), it.has_default)).collect::<Vec<_>>();
        assert_eq!(names(&found.positional_only), [("a".into(), false)]);
        assert_eq!(names(&found.plain), [("b".into(), false), ("c".into(), true)]);
        assert_eq!(names(&found.keyword_only), [("d".into(), false)]);
        assert_eq!(facts("class A:\n    def main(self): pass").function, None);
    }
}
