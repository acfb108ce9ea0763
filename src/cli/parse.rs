//! Reads the arguments of a call: mistakes are told in our own form, and `--output` is understood where it names
//! something else than a form.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory, Parser, ValueEnum};

use super::args::{Cli, Form};
use crate::error::Error;
use crate::nearest::nearest;

/// The form of the output that arguments ask for which cannot be read: the error is printed in it.
pub fn form_of(arguments: &[OsString]) -> Form {
    let words: Vec<&str> = arguments.iter().map_while(|it| it.to_str().filter(|it| *it != "--")).collect();
    let named = |form: &str| <Form as ValueEnum>::from_str(form, true).ok();
    let mut form = Form::Text;
    for (at, word) in words.iter().enumerate() {
        let value = match *word {
            "--json" => Some("json"),
            "-o" | "--output" => words.get(at + 1).copied(),
            other => other.strip_prefix("--output=").or_else(|| other.strip_prefix("-o")),
        };
        form = value.and_then(named).unwrap_or(form);
    }
    form
}

/// Reads the arguments.
///
/// # Errors
///
/// `UNKNOWN_OPTION` in our own form; help and version are not errors, clap prints them and exits 0.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, Error> {
    let arguments = with_value_of_fork(with_folder_of_import(arguments));
    Cli::try_parse_from(&arguments).map_err(|e| {
        if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
            e.exit();
        }
        let command = command_of(&arguments);
        if e.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            return not_said_what(&command);
        }
        let text = e.render().to_string();
        let mut lines = text.lines().map(str::trim).filter(|it| !it.is_empty());
        let message = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let rest: Vec<&str> = lines.take_while(|it| !it.starts_with("Usage:")).collect();
        let hint = rest.iter().find_map(|it| it.strip_prefix("tip: ")).map(str::to_owned);
        let hint = hint.or_else(|| nearest_to(&e, &command)).unwrap_or_else(|| "see `dipeo --help`".to_owned());
        let message = if message.ends_with(':') { format!("{message} {}", rest.join(", ")) } else { message };
        Error::invalid("UNKNOWN_OPTION", message).hint(hint)
    })
}

/// The command that the arguments lead to.
fn command_of(arguments: &[OsString]) -> Command {
    let mut program = Cli::command();
    program.build();
    let mut command = &program;
    for word in arguments.iter().skip(1).filter_map(|it| it.to_str()) {
        command = command.find_subcommand(word).unwrap_or(command);
    }
    command.clone()
}

/// What is nearest to a word that is unknown, where it is too far away for a tip of the parser.
fn nearest_to(error: &clap::Error, command: &Command) -> Option<String> {
    let unknown = |kind: ContextKind| match error.get(kind) {
        Some(ContextValue::String(it)) => Some(it.trim_start_matches('-').to_owned()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let names = command.get_subcommands().filter(|it| !it.is_hide_set()).map(Command::get_name);
            nearest(&unknown(ContextKind::InvalidSubcommand)?, names).map(|it| format!("there is a command '{it}'"))
        }
        ErrorKind::UnknownArgument => {
            let names = command.get_arguments().filter_map(Arg::get_long);
            nearest(&unknown(ContextKind::InvalidArg)?, names).map(|it| format!("there is an argument '--{it}'"))
        }
        _ => None,
    }
}

/// A command that consists of others was given none of them.
fn not_said_what(command: &Command) -> Error {
    let name = command.get_bin_name().unwrap_or("dipeo");
    let names: Vec<&str> = command.get_subcommands().filter(|it| !it.is_hide_set()).map(Command::get_name).collect();
    Error::invalid("UNKNOWN_OPTION", format!("`{name}` does not say what to do"))
        .hint(format!("add one of {}; `{name} --help` explains them", names.join(", ")))
}

/// `--output` is the form of the output everywhere; of an import it may name the folder to write to as well.
fn with_folder_of_import(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    if !arguments.iter().any(|it| it == "openapi-import") {
        return arguments;
    }
    let is_form = |it: &str| <Form as ValueEnum>::from_str(it, true).is_ok();
    for at in 0..arguments.len() {
        let folder = match arguments[at].to_str() {
            Some("--output") => arguments.get(at + 1).and_then(|it| it.to_str()).is_some_and(|it| !is_form(it)),
            Some(text) => text.strip_prefix("--output=").is_some_and(|it| !is_form(it)),
            None => false,
        };
        if let (true, Some(text)) = (folder, arguments[at].to_str()) {
            arguments[at] = text.replacen("--output", "--to", 1).into();
        }
    }
    arguments
}

/// As [`with_folder_of_import`]: of a fork `--output NODE=VALUE` is the value of a node.
fn with_value_of_fork(mut arguments: Vec<OsString>) -> Vec<OsString> {
    if !arguments.iter().any(|it| it == "fork") {
        return arguments;
    }
    for at in 0..arguments.len() {
        let is_value = match arguments[at].to_str() {
            Some("--output") => arguments.get(at + 1).and_then(|it| it.to_str()).is_some_and(|it| it.contains('=')),
            Some(text) => text.strip_prefix("--output=").is_some_and(|it| it.contains('=')),
            None => false,
        };
        if let (true, Some(text)) = (is_value, arguments[at].to_str()) {
            arguments[at] = text.replacen("--output", "--set-output", 1).into();
        }
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::super::args;
    use super::super::integrations::{IntegrationsArgs, IntegrationsCommand};
    use super::*;

    #[test]
    fn the_form_of_an_error_is_known_before_the_arguments_are() {
        for (arguments, form) in [
            ("run x --tiemout 3", Form::Text),
            ("run x --tiemout 3 --json", Form::Json),
            ("-o json rnu", Form::Json),
            ("-ojson rnu", Form::Json),
            ("--output=markdown rnu", Form::Markdown),
            ("run -- --json", Form::Text),
            ("fork x --output node=1", Form::Text),
        ] {
            let arguments: Vec<OsString> = arguments.split(' ').map(Into::into).collect();
            assert_eq!(form_of(&arguments), form, "{arguments:?}");
        }
    }

    #[test]
    fn the_folder_of_an_import_and_the_form_of_its_output_are_told_apart() {
        for (arguments, folder, form) in [
            (vec!["--output", "dir"], Some("dir"), Form::Text),
            (vec!["--output=a/b", "--output", "json"], Some("a/b"), Form::Json),
            (vec!["--output", "json"], None, Form::Json),
            (vec!["--to", "json"], Some("json"), Form::Text),
        ] {
            let all = ["dipeo", "integrations", "openapi-import", "x.yaml"].into_iter().chain(arguments.clone());
            let cli = parse(all.map(Into::into)).expect("it parses");
            let Some(args::Command::Integrations(IntegrationsArgs {
                command: IntegrationsCommand::OpenapiImport { to, .. },
            })) = cli.command
            else {
                panic!("{arguments:?}: another command");
            };
            assert_eq!((to.as_deref(), cli.global.output), (folder, form), "{arguments:?}");
        }
    }

    #[test]
    fn the_value_of_a_forked_node_and_the_form_of_the_output_are_told_apart() {
        for (arguments, value, form) in [
            (vec!["--output", "write=hi"], Some("write=hi"), Form::Text),
            (vec!["--output=write=a=b", "--output", "json"], Some("write=a=b"), Form::Json),
            (vec!["--set-output", "write=1", "--json"], Some("write=1"), Form::Text),
            (vec!["--output", "json"], None, Form::Json),
        ] {
            let all = ["dipeo", "fork", "exec_1"].into_iter().chain(arguments.clone());
            let cli = parse(all.map(Into::into)).expect("it parses");
            let Some(args::Command::Fork(args)) = cli.command else { panic!("{arguments:?}: another command") };
            assert_eq!((args.set_output.as_deref(), cli.global.output), (value, form), "{arguments:?}");
        }
    }

    #[test]
    fn a_misspelt_flag_is_answered_with_the_nearest_one() {
        let error = parse(["dipeo", "run", "x", "--tiemout", "3"].map(Into::into)).expect_err("unknown flag");
        assert_eq!(error.code(), "UNKNOWN_OPTION");
        assert!(error.hint_text().is_some_and(|it| it.contains("--timeout")), "{error:?}");
    }
}
