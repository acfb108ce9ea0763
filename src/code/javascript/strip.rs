//! Turns TypeScript into JavaScript by stripping its types. Runs in the worker process only: the
//! library recurses without limit over what it is given.

use std::path::{Path, PathBuf};

use oxc::allocator::Allocator;
use oxc::codegen::{Codegen, CodegenOptions};
use oxc::parser::Parser;
use oxc::semantic::SemanticBuilder;
use oxc::transformer::{TransformOptions, Transformer};
use serde::{Deserialize, Serialize};

use super::parse;
use crate::code::failure::Failure;
use crate::limits;
use crate::nodes::ports::SyntaxProblem;

/// JavaScript made of TypeScript.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::code) struct Stripped {
    /// The body of the function, as [`parse`] has it.
    pub(in crate::code) code: String,
    /// For each of its lines, the line of the original text.
    lines: Vec<u32>,
}

impl Stripped {
    /// Returns the line of the original that became `line`, both from 1.
    pub(in crate::code) fn original_line(&self, line: u32) -> u32 {
        let idx = usize::try_from(line).unwrap_or(usize::MAX).saturating_sub(1);
        self.lines.get(idx).copied().unwrap_or(line)
    }

    /// Translates the line of a failure back.
    pub(in crate::code) fn translate(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Raised { exception, message, line } => {
                Failure::Raised { exception, message, line: line.map(|it| self.original_line(it)) }
            }
            other => other,
        }
    }
}

/// Strips the types of `source`.
///
/// # Errors
///
/// `Raised` with the first syntax error, `TooLarge` when the result is.
pub(in crate::code) fn strip(source: &str) -> Result<Stripped, Failure> {
    let wrapped = format!("{}{source}{}", parse::HEAD, parse::TAIL);
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, &wrapped, parse::source_type(true)).parse();
    if let Some(first) = parsed.diagnostics.iter().next() {
        return Err(syntax_error(source, first));
    }
    if let Some(problem) = parse::misplaced(source, &parsed.program) {
        return Err(raised(problem));
    }
    let mut program = parsed.program;
    let scoping = SemanticBuilder::new().with_enum_eval(true).build(&program).semantic.into_scoping();
    let mut options = TransformOptions::default();
    options.typescript.only_remove_type_imports = true;
    let transformed =
        Transformer::new(&allocator, Path::new("code.ts"), &options).build_with_scoping(scoping, &mut program);
    if let Some(first) = transformed.diagnostics.iter().next() {
        return Err(syntax_error(source, first));
    }
    // Without indentation deep nesting does not make the text quadratic.
    let options =
        CodegenOptions { source_map_path: Some(PathBuf::from("code.ts")), indent_width: 0, ..Default::default() };
    let printed = Codegen::new().with_options(options).build(&program);
    if printed.code.len() > limits::CODE_OUTPUT_BYTES_MAX {
        return Err(Failure::TooLarge { what: "the code without its types".into() });
    }
    let code = body(&printed.code)
        .ok_or_else(|| Failure::Bug { message: "stripping types lost the function around the code".into() })?;
    let mut lines: Vec<u32> = vec![0; printed.code.lines().count()];
    for token in printed.map.iter().flat_map(|it| it.get_tokens()) {
        if let Some(line) = lines.get_mut(token.get_dst_line() as usize)
            && *line == 0
        {
            *line = token.get_src_line() + 1;
        }
    }
    Ok(Stripped { code: code.to_owned(), lines })
}

/// Takes the text out of the function it was put into.
fn body(printed: &str) -> Option<&str> {
    printed.trim_end().strip_prefix(parse::HEAD)?.strip_suffix('}')
}

fn syntax_error(source: &str, diagnostic: &oxc::diagnostics::OxcDiagnostic) -> Failure {
    raised(parse::problem(source, diagnostic))
}

fn raised(problem: SyntaxProblem) -> Failure {
    Failure::Raised { exception: "SyntaxError".into(), message: problem.message, line: Some(problem.line) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_go_and_meaning_stays() {
        for (source, expected) in [
            ("const a: number = 1;\nreturn a as number", "const a = 1;\nreturn a;"),
            ("interface A { b: string }\nresult = x!", "result = x;"),
            ("return await f<string>()", "return await f();"),
        ] {
            let stripped = strip(source).unwrap();
            assert_eq!(stripped.code.trim(), expected, "{source}");
        }
        assert!(strip("enum A { B = 3 }\nreturn A.B").unwrap().code.contains('3'));
    }

    #[test]
    fn lines_lead_back_to_the_original() {
        let stripped = strip("interface A {\n  b: string\n}\n\nconst c = 1;\n\nthrow c").unwrap();
        let line = stripped.code.lines().position(|it| it.contains("throw")).unwrap() + 1;
        assert_eq!(stripped.original_line(u32::try_from(line).unwrap()), 7);
    }

    #[test]
    fn a_syntax_error_has_its_line() {
        assert!(matches!(strip("let a = 1\nlet b: = 2"), Err(Failure::Raised { line: Some(2), .. })));
    }
}
