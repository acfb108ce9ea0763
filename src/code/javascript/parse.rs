//! Parses JavaScript and TypeScript to find syntax errors, and what only a host interpreter has.
//!
//! The text of a node is the body of an async function, so `return` and `await` stand anywhere in it
//! and `import` and `export` statements nowhere.

use oxc::allocator::Allocator;
use oxc::ast::ast::{Program, Statement};
use oxc::diagnostics::OxcDiagnostic;
use oxc::parser::Parser;
use oxc::semantic::SemanticBuilder;
use oxc::span::{GetSpan, SourceType};

use crate::code::job::words;
use crate::code::python::place;
use crate::nodes::ports::{HostNeed, SyntaxProblem};

/// What stands before the text, on its first line so that lines keep their numbers.
pub(in crate::code) const HEAD: &str = "async function __dipeo() {";
/// What stands behind it.
pub(in crate::code) const TAIL: &str = "\n}";

/// Stack for parsing one byte of text: every byte may open one more level. The parser knows no limit
/// of its own. Untouched pages cost nothing.
const STACK_BYTES_PER_BYTE: usize = 8 * 1024;

/// Names of the host's global scope that the sandbox lacks.
const HOST_NAMES: [&str; 22] = [
    "AbortController",
    "Blob",
    "Buffer",
    "FormData",
    "Headers",
    "Request",
    "Response",
    "TextDecoder",
    "TextEncoder",
    "URL",
    "URLSearchParams",
    "WebSocket",
    "__dirname",
    "__filename",
    "clearInterval",
    "clearTimeout",
    "fetch",
    "process",
    "require",
    "setImmediate",
    "setInterval",
    "setTimeout",
];

/// Returns the stack that [`find`] needs for a text of `n_bytes`.
pub(in crate::code) fn stack_bytes(n_bytes: usize) -> usize {
    n_bytes.saturating_mul(STACK_BYTES_PER_BYTE).max(crate::code::deep_stack::STACK_BYTES)
}

/// Returns how a text is to be read.
pub(in crate::code) fn source_type(is_typescript: bool) -> SourceType {
    if is_typescript { SourceType::ts().with_script(true) } else { SourceType::script() }
}

/// Returns the first thing in `source` that only a host interpreter has. Needs [`stack_bytes`] of stack.
///
/// # Errors
///
/// The first syntax error with its place.
pub(in crate::code) fn find(source: &str, is_typescript: bool) -> Result<Option<HostNeed>, SyntaxProblem> {
    let wrapped = format!("{HEAD}{source}{TAIL}");
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, &wrapped, source_type(is_typescript)).parse();
    if let Some(first) = parsed.diagnostics.iter().next() {
        return Err(problem(source, first));
    }
    if parsed.program.body.len() != 1 {
        return Err(SyntaxProblem { message: "a closing brace too many".into(), line: 1, column: 1 });
    }
    if let Some(problem) = misplaced(source, &parsed.program) {
        return Err(problem);
    }
    let built = SemanticBuilder::new().with_check_syntax_error(true).build(&parsed.program);
    if let Some(first) = built.diagnostics.iter().next() {
        return Err(problem(source, first));
    }
    let scoping = built.semantic.scoping();
    let unresolved: Vec<&str> = scoping.root_unresolved_references().keys().map(|it| it.as_str()).collect();
    let names = HOST_NAMES.into_iter().filter(|it| unresolved.contains(it));
    let mut needs: Vec<HostNeed> =
        names.map(|name| HostNeed { what: format!("`{name}`"), line: line_of_word(source, name) }).collect();
    for import in &parsed.module_record.dynamic_imports {
        let offset = (import.span.start as usize).saturating_sub(HEAD.len());
        needs.push(HostNeed { what: "`import()`".into(), line: place::line_column(source, offset).0 });
    }
    Ok(needs.into_iter().min_by_key(|it| it.line))
}

/// Finds what may not stand in the function around the text and what the parser lets pass.
pub(in crate::code) fn misplaced(source: &str, program: &Program<'_>) -> Option<SyntaxProblem> {
    let Some(Statement::FunctionDeclaration(function)) = program.body.first() else { return None };
    function.body.iter().flat_map(|it| &it.statements).find_map(|statement| {
        let message = match statement {
            it if it.is_module_declaration() => {
                "`import` and `export` have no place in a function; use `await import(…)`"
            }
            Statement::TSNamespaceDeclaration(it) if !it.declare => {
                "a namespace has no place in a function; use an object or a class"
            }
            _ => return None,
        };
        let offset = (statement.span().start as usize).saturating_sub(HEAD.len());
        let (line, column) = place::line_column(source, offset);
        Some(SyntaxProblem { message: message.to_owned(), line, column })
    })
}

/// Translates the place of a diagnostic in the wrapped text to the text itself.
pub(in crate::code) fn problem(source: &str, diagnostic: &OxcDiagnostic) -> SyntaxProblem {
    let offset = diagnostic.labels.first().map_or(0, |it| it.offset() as usize);
    let (line, column) = place::line_column(source, offset.saturating_sub(HEAD.len()));
    let mut message = place::lower_first(&diagnostic.message);
    if let Some(help) = &diagnostic.help {
        message = format!("{message} ({})", place::lower_first(help));
    }
    SyntaxProblem { message, line, column }
}

/// The line of the first occurrence of a name, from 1.
fn line_of_word(source: &str, name: &str) -> u32 {
    let idx = source.lines().position(|line| words(line).any(|it| it == name)).unwrap_or(0);
    u32::try_from(idx + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::deep_stack;

    fn found(source: &str) -> Result<Option<HostNeed>, SyntaxProblem> {
        deep_stack::run_with(stack_bytes(source.len()), || find(source, true)).unwrap()
    }

    #[test]
    fn code_is_the_body_of_an_async_function() {
        for source in ["return await f()", "result = 1", "const a: number = 1; return a as number", "// end", ""] {
            assert_eq!(found(source), Ok(None), "{source}");
        }
    }

    #[test]
    fn what_only_the_host_has_is_named_with_its_line() {
        for (source, what, line) in [
            ("const a = 1\nconst fs = require('fs')", "`require`", 2),
            ("await fetch('x')", "`fetch`", 1),
            ("1\nawait import('fs')", "`import()`", 2),
        ] {
            assert_eq!(found(source), Ok(Some(HostNeed { what: what.into(), line })), "{source}");
        }
        assert_eq!(found("function require(x) {}\nrequire(1)"), Ok(None));
    }

    #[test]
    fn a_syntax_error_has_its_place() {
        for (source, line, column) in [
            ("let a = ;", 1, 9),
            ("1\nlet a; let a", 2, 5),
            ("} {", 1, 1),
            ("import x from 'x'", 1, 1),
            ("1\n namespace A { export const b = 1 }", 2, 2),
        ] {
            let problem = found(source).expect_err(source);
            assert_eq!((problem.line, problem.column), (line, column), "{source}: {}", problem.message);
        }
    }

    #[test]
    fn deep_nesting_is_only_slow() {
        let n = crate::limits::CODE_BYTES_MAX;
        for opening in ["(", "[", "!", "a=>", "if(1)", "-+"] {
            let source = opening.repeat(n / opening.len());
            assert!(found(&source).is_err(), "{opening}");
        }
        for link in ["a.b", "+1", "[0]", "()"] {
            let _ = found(&format!("a{}", link.repeat(n / link.len() - 1)));
        }
    }
}
