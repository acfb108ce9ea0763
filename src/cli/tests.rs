//! What holds for all commands: walks through their definitions.

use clap::{Command, CommandFactory};

use super::args::Cli;
use super::parse::parse;

/// Every command that people see, with the words that lead to it.
fn all() -> Vec<(Vec<String>, Command)> {
    fn collect(way: &[String], command: &Command, found: &mut Vec<(Vec<String>, Command)>) {
        for below in command.get_subcommands().filter(|it| !it.is_hide_set()) {
            let way: Vec<String> = way.iter().cloned().chain([below.get_name().to_owned()]).collect();
            found.push((way.clone(), below.clone()));
            collect(&way, below, found);
        }
    }
    let mut found = Vec::new();
    let mut program = Cli::command();
    program.build();
    collect(&[], &program, &mut found);
    found.retain(|(way, _)| way.last().is_none_or(|it| it != "help"));
    found
}

/// The examples in a help text: from `dipeo ` to the end of the line.
fn examples(command: &Command) -> Vec<String> {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let from = |line: &str| line.find("dipeo ").map(|at| line[at..].to_owned());
    help.lines().filter(|it| it.starts_with("Example") || it.starts_with(' ')).filter_map(from).collect()
}

/// The words of a line as a shell makes them, up to what is for the shell.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None::<char>);
    for it in line.chars() {
        match (quote, it) {
            (Some(open), it) if it == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(it);
                word.get_or_insert_default();
            }
            (None, '<' | '>' | '|') => break,
            (None, ' ') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(it),
        }
    }
    words.extend(word);
    words
}

#[test]
fn the_definitions_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_an_example_that_can_be_typed() {
    let mut wrong = Vec::new();
    for (way, command) in all() {
        let examples = examples(&command);
        if examples.is_empty() {
            wrong.push(format!("`{}` has no example", way.join(" ")));
        }
        let own = format!("dipeo {}", way.join(" "));
        if !examples.iter().any(|it| it.starts_with(&own)) {
            wrong.push(format!("the examples of `{own}` are of other commands"));
        }
        for example in examples {
            if let Err(e) = parse(words(&example).into_iter().map(Into::into)) {
                wrong.push(format!("`{example}`: {}", e.message()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_command_says_what_it_is_for() {
    for (way, command) in all() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        assert!(!about.is_empty() && !about.starts_with("Example"), "`{}`: {about:?}", way.join(" "));
    }
}

#[test]
fn a_misspelt_flag_of_any_command_is_answered_with_a_flag_that_is_like_it() {
    let mut n_tried = 0;
    for (way, command) in all() {
        for flag in command.get_arguments().filter_map(|it| it.get_long()).filter(|it| 5 <= it.len()) {
            let mut letters: Vec<char> = flag.chars().collect();
            letters.swap(2, 3);
            let misspelt: String = letters.into_iter().collect();
            if command.get_arguments().any(|it| it.get_long() == Some(&misspelt)) || misspelt == flag {
                continue;
            }
            let arguments =
                ["dipeo".to_owned()].into_iter().chain(way.iter().cloned()).chain([format!("--{misspelt}")]);
            let error = parse(arguments.map(Into::into)).expect_err("no such flag");
            let hint = error.hint_text().unwrap_or_default();
            assert!(
                hint.contains(&format!("--{flag}")),
                "{} --{misspelt}: {} / {hint}",
                way.join(" "),
                error.message()
            );
            n_tried += 1;
        }
    }
    assert!(n_tried > 100, "{n_tried} flags");
}

#[test]
fn a_misspelt_command_is_answered_with_the_nearest_one() {
    for (typed, meant) in
        [("rnu", "run"), ("result", "results"), ("metric", "metrics"), ("cancle", "cancel"), ("serv", "serve")]
    {
        let error = parse(["dipeo", typed].map(Into::into)).expect_err("no such command");
        assert!(error.hint_text().is_some_and(|it| it.contains(&format!("'{meant}'"))), "{typed}: {error:?}");
    }
}

#[test]
fn a_command_that_consists_of_others_says_which() {
    let error = parse(["dipeo", "tokens"].map(Into::into)).expect_err("not enough");
    assert_eq!(error.code(), "UNKNOWN_OPTION");
    assert!(error.hint_text().is_some_and(|it| it.contains("create, list, revoke, forget")), "{error:?}");
}
