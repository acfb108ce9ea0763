//! What a piece of Python needs that the sandbox does not have. Modules and their members are tried
//! out in the interpreter, so this stays right when the interpreter learns something.

use std::collections::HashSet;
use std::time::Duration;

use monty::MontyRun;
use monty_types::{CompileOptions, PrintWriter};
use ruff_python_ast::visitor::{Visitor, walk_expr, walk_parameter, walk_stmt};
use ruff_python_ast::{Alias, ExceptHandler, Expr, ExprContext, Operator, Parameter, Stmt, StmtClassDef, StmtTry};
use ruff_text_size::{Ranged, TextSize};

use super::{exception, place, program};
use crate::nodes::ports::{HostNeed, SyntaxProblem};

/// Built-in functions of Python that the interpreter does not have or always refuses.
const MISSING_FUNCTIONS: [&str; 20] = [
    "__import__",
    "breakpoint",
    "bytearray",
    "callable",
    "classmethod",
    "compile",
    "complex",
    "delattr",
    "dir",
    "eval",
    "exec",
    "exit",
    "format",
    "globals",
    "input",
    "locals",
    "memoryview",
    "open",
    "quit",
    "vars",
];

/// Decorators it does not have, although their names exist.
const MISSING_DECORATORS: [&str; 3] = ["property", "staticmethod", "classmethod"];

/// The special methods it calls. It ignores all others without a word.
const SPECIAL_METHODS: [&str; 10] = [
    "__init__",
    "__repr__",
    "__str__",
    "__eq__",
    "__hash__",
    "__contains__",
    "__iter__",
    "__enter__",
    "__exit__",
    "__post_init__",
];

/// What the interpreter's `os` has and the sandbox refuses when it is used.
const REFUSED_OF_OS: [&str; 11] =
    ["environ", "getenv", "listdir", "makedirs", "mkdir", "remove", "rename", "replace", "rmdir", "stat", "unlink"];

/// What paths have and the sandbox refuses when it is used.
const REFUSED_OF_PATHS: [&str; 17] = [
    "absolute",
    "append_bytes",
    "append_text",
    "exists",
    "is_dir",
    "is_file",
    "is_symlink",
    "iterdir",
    "mkdir",
    "read_bytes",
    "read_text",
    "resolve",
    "rmdir",
    "stat",
    "unlink",
    "write_bytes",
    "write_text",
];

/// Memory of a tried import, in bytes.
const TRIAL_BYTES_MAX: usize = 1024 * 1024;
/// Time of a tried import.
const TRIAL_TIME_MAX: Duration = Duration::from_millis(200);

/// Returns the first thing in `source` that the sandbox cannot do. Needs a deep stack.
///
/// # Errors
///
/// A syntax error with its place.
pub(in crate::code) fn find(source: &str) -> Result<Option<HostNeed>, SyntaxProblem> {
    let parsed = ruff_python_parser::parse_module(source).map_err(|error| place::syntax_problem(source, &error))?;
    let mut names = Names(HashSet::new());
    names.visit_body(parsed.suite());
    let mut finder = Finder { source, defined: names.0, modules: HashSet::new(), has_paths: false, first: None };
    finder.visit_body(parsed.suite());
    let compiled = MontyRun::new(source.to_owned(), "code", Vec::new(), CompileOptions::default());
    if let Err(error) = compiled {
        let at = error.traceback().last().map(|it| it.start).unwrap_or_default();
        match exception::unsupported(&error) {
            Some(what) => finder.note_line(what, at.line),
            // What the interpreter alone calls an error may be fine in an interpreter of the host.
            None if finder.first.is_none() => {
                let message = place::lower_first(error.message().unwrap_or("this does not parse"));
                return Err(SyntaxProblem { message, line: at.line, column: at.column });
            }
            None => {}
        }
    }
    Ok(finder.first)
}

struct Finder<'s> {
    source: &'s str,
    /// Every name the text binds itself.
    defined: HashSet<String>,
    /// Modules that were imported under their own or another name: what it is called, what it is.
    modules: HashSet<(String, String)>,
    /// Whether it may hold paths of `pathlib`.
    has_paths: bool,
    first: Option<HostNeed>,
}

impl<'a> Visitor<'a> for Finder<'_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::Import(it) => it.names.iter().for_each(|alias| self.import(alias)),
            Stmt::ImportFrom(it) => {
                let module = format!("{}{}", ".".repeat(it.level as usize), it.module.as_deref().unwrap_or_default());
                it.names.iter().for_each(|alias| self.import_from(&module, alias));
            }
            Stmt::ClassDef(it) => {
                self.class(it);
                walk_stmt(self, statement);
            }
            Stmt::FunctionDef(it) => {
                for decorator in &it.decorator_list {
                    if let Expr::Name(name) = &decorator.expression
                        && MISSING_DECORATORS.contains(&name.id.as_str())
                    {
                        self.note(format!("`@{}`", name.id), decorator.start());
                    }
                }
                walk_stmt(self, statement);
            }
            // Code that is ready for a missing module may miss it.
            Stmt::Try(it) if catches_import_errors(it) => {
                it.handlers.iter().for_each(|handler| self.visit_except_handler(handler));
                self.visit_body(&it.orelse);
                self.visit_body(&it.finalbody);
            }
            _ => walk_stmt(self, statement),
        }
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Call(call) => {
                if let Expr::Name(name) = &*call.func {
                    self.called(name.id.as_str(), call.func.start());
                    let to_file = call.arguments.keywords.iter().find(|it| it.arg.as_deref() == Some("file"));
                    if let (true, Some(keyword)) = (name.id.as_str() == "print", to_file) {
                        self.note("`print(file=…)`".into(), keyword.start());
                    }
                }
            }
            Expr::BinOp(it) => match (&*it.left, it.op, &*it.right) {
                (Expr::StringLiteral(_), Operator::Mod, _) => self.note("`%` on texts".into(), it.start()),
                (Expr::Dict(_), Operator::BitOr, _) | (_, Operator::BitOr, Expr::Dict(_)) => {
                    self.note("`|` on dicts".into(), it.start());
                }
                _ => {}
            },
            Expr::Attribute(it) => {
                if let Expr::Name(name) = &*it.value {
                    self.member(name.id.as_str(), it.attr.as_str(), it.start());
                }
                if self.has_paths && REFUSED_OF_PATHS.contains(&it.attr.as_str()) {
                    self.note(format!("`Path.{}`", it.attr), it.start());
                }
            }
            _ => {}
        }
        walk_expr(self, expression);
    }
}

impl Finder<'_> {
    fn note(&mut self, what: String, at: TextSize) {
        let line = place::line(self.source, at);
        self.note_line(what, line);
    }

    fn note_line(&mut self, what: String, line: u32) {
        if self.first.as_ref().is_none_or(|it| line < it.line) {
            self.first = Some(HostNeed { what, line });
        }
    }

    fn import(&mut self, alias: &Alias) {
        let module = alias.name.as_str();
        if !works(&format!("import {module}")) {
            return self.note(format!("module `{module}`"), alias.start());
        }
        self.has_paths |= module == "pathlib";
        let called = alias.asname.as_ref().unwrap_or(&alias.name);
        self.modules.insert((called.to_string(), module.to_owned()));
    }

    fn import_from(&mut self, module: &str, alias: &Alias) {
        self.has_paths |= module == "pathlib";
        let name = alias.name.as_str();
        if name == "*" || module.starts_with('.') || !works(&format!("import {module}")) {
            self.note(format!("module `{module}`"), alias.start());
        } else if module == "os" && REFUSED_OF_OS.contains(&name) {
            self.note(format!("`os.{name}`"), alias.start());
        } else if !works(&format!("from {module} import {name}")) {
            self.note(format!("`{name}` in its module `{module}`"), alias.start());
        }
    }

    fn member(&mut self, name: &str, member: &str, at: TextSize) {
        let Some((_, module)) = self.modules.iter().find(|(called, _)| called == name) else { return };
        if module == "os" && REFUSED_OF_OS.contains(&member) {
            let what = format!("`os.{member}`");
            self.note(what, at);
        } else if !works(&format!("import {module} as m\nm.{member}")) {
            let what = format!("`{member}` in its module `{module}`");
            self.note(what, at);
        }
    }

    fn called(&mut self, name: &str, at: TextSize) {
        if MISSING_FUNCTIONS.contains(&name) && !self.defined.contains(name) {
            self.note(format!("`{name}()`"), at);
        }
    }

    fn class(&mut self, class: &StmtClassDef) {
        for statement in &class.body {
            if let Stmt::FunctionDef(method) = statement
                && method.name.starts_with("__")
                && method.name.ends_with("__")
                && !SPECIAL_METHODS.contains(&method.name.as_str())
            {
                self.note(format!("the special method `{}`", method.name), method.start());
            }
        }
    }
}

/// Runs a few lines of ours that only import and look up.
fn works(lines: &str) -> bool {
    let Ok(run) = MontyRun::new(lines.to_owned(), "trial", Vec::new(), CompileOptions::default()) else { return false };
    run.run(Vec::new(), program::tracker(TRIAL_TIME_MAX, TRIAL_BYTES_MAX), PrintWriter::Disabled).is_ok()
}

fn catches_import_errors(statement: &StmtTry) -> bool {
    let catches = |expression: &Expr| match expression {
        Expr::Name(name) => {
            matches!(name.id.as_str(), "ImportError" | "ModuleNotFoundError" | "Exception" | "BaseException")
        }
        _ => false,
    };
    statement.handlers.iter().any(|handler| {
        let ExceptHandler::ExceptHandler(handler) = handler;
        match handler.type_.as_deref() {
            None => true,
            Some(Expr::Tuple(types)) => types.elts.iter().any(catches),
            Some(one) => catches(one),
        }
    })
}

/// Collects every name the text binds, wherever.
struct Names(HashSet<String>);

impl<'a> Visitor<'a> for Names {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::FunctionDef(it) => drop(self.0.insert(it.name.to_string())),
            Stmt::ClassDef(it) => drop(self.0.insert(it.name.to_string())),
            _ => {}
        }
        walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        if let Expr::Name(name) = expression
            && name.ctx == ExprContext::Store
        {
            self.0.insert(name.id.to_string());
        }
        walk_expr(self, expression);
    }

    fn visit_alias(&mut self, alias: &'a Alias) {
        self.0.insert(alias.asname.as_ref().unwrap_or(&alias.name).to_string());
    }

    fn visit_parameter(&mut self, parameter: &'a Parameter) {
        self.0.insert(parameter.name.to_string());
        walk_parameter(self, parameter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(source: &str) -> Option<(String, u32)> {
        crate::code::deep_stack::run(|| find(source)).unwrap().unwrap().map(|it| (it.what, it.line))
    }

    #[test]
    fn code_within_the_sandbox_needs_nothing() {
        for source in [
            "import json, math, re\nfrom datetime import datetime\nresult = json.dumps(datetime.now().isoformat())",
            "async def main(): return 1",
            "try:\n    import numpy\nexcept ImportError:\n    numpy = None",
            "def format(x): return x\nformat(1)",
            "result = inputs['open']",
            "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int\n    def __str__(self): return 'a'",
            "return await f()",
            "import os\nresult = os.sep",
            "from pathlib import Path\nresult = Path('a/b.txt').suffix",
            "x.read_text()",
        ] {
            assert_eq!(need(source), None, "{source}");
        }
    }

    #[test]
    fn the_first_thing_it_cannot_do_is_named_with_its_line() {
        for (source, what, line) in [
            ("x = 1\nimport csv", "module `csv`", 2),
            ("import os.path", "module `os.path`", 1),
            ("import os\nresult = os.getcwd()", "`getcwd` in its module `os`", 2),
            ("import os as o\nresult = o.getenv('A')", "`os.getenv`", 2),
            ("from os import environ", "`os.environ`", 1),
            ("from pathlib import Path\nx = 1\nresult = Path('a').read_text()", "`Path.read_text`", 3),
            ("from itertools import chain, groupby", "`groupby` in its module `itertools`", 1),
            ("import itertools as i\ni.groupby", "`groupby` in its module `itertools`", 2),
            ("from . import x", "module `.`", 1),
            ("def f():\n    yield 1", "yield expressions", 2),
            ("class A(B): pass", "class inheritance and metaclasses", 1),
            ("match x:\n    case 1: pass", "pattern matching (match statements)", 1),
            ("x = 1\ndel x", "the `del` statement", 2),
            ("class A:\n    def __len__(self): return 1", "the special method `__len__`", 2),
            ("@property\ndef f(x): pass", "`@property`", 1),
            ("'%s' % x", "`%` on texts", 1),
            ("open('a')", "`open()`", 1),
            ("import time\nimport csv", "module `time`", 1),
            (&format!("x = 1{}", " + 1".repeat(300)), "code nested this deeply", 1),
        ] {
            assert_eq!(need(source), Some((what.to_owned(), line)), "{source}");
        }
    }

    #[test]
    fn what_does_not_parse_is_a_problem_with_its_place() {
        for (source, line, column) in [("result = (1", 1, 12), ("x = 1\n  y = 2", 2, 1), ("break", 1, 1)] {
            let problem = find(source).unwrap_err();
            assert_eq!((problem.line, problem.column), (line, column), "{source}: {}", problem.message);
        }
    }
}
