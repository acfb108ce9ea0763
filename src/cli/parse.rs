//! Reads the arguments of a call: mistakes are told in our own form, and `--output` is understood where it names
//! something else than a form.

use std::ffi::OsString;

use clap::{Parser, ValueEnum};

use super::args::{Cli, Form};
use crate::error::Error;

/// Reads the arguments.
///
/// # Errors
///
/// `UNKNOWN_OPTION` in our own form; help and version are not errors, clap prints them and exits 0.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, Error> {
    Cli::try_parse_from(with_value_of_fork(with_folder_of_import(arguments))).map_err(|e| {
        use clap::error::ErrorKind as Kind;
        if matches!(e.kind(), Kind::DisplayHelp | Kind::DisplayVersion | Kind::DisplayHelpOnMissingArgumentOrSubcommand)
        {
            e.exit();
        }
        let text = e.render().to_string();
        let mut lines = text.lines().map(str::trim).filter(|it| !it.is_empty());
        let message = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let rest: Vec<&str> = lines.take_while(|it| !it.starts_with("Usage:")).collect();
        let hint = rest.iter().find_map(|it| it.strip_prefix("tip: ")).map(str::to_owned);
        let message = if message.ends_with(':') { format!("{message} {}", rest.join(", ")) } else { message };
        Error::invalid("UNKNOWN_OPTION", message).hint(hint.unwrap_or_else(|| "see `dipeo --help`".to_owned()))
    })
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
    use super::super::args::Command;
    use super::super::integrations::{IntegrationsArgs, IntegrationsCommand};
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
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
            let Some(Command::Integrations(IntegrationsArgs {
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
            let Some(Command::Fork(args)) = cli.command else { panic!("{arguments:?}: another command") };
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
