//! `dipeo completions` and `dipeo man`: what shells and `man` want to know of the commands. Both are written from the
//! same definitions that read the arguments, and need neither settings nor a database.

use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::{Shell, generate};
use clap_mangen::Man;
use serde_json::json;

use super::Output;
use super::args::Cli;
use crate::error::Error;

/// Example: dipeo completions bash > ~/.local/share/bash-completion/completions/dipeo
#[derive(Debug, Args)]
#[command(after_help = "bash: dipeo completions bash > ~/.local/share/bash-completion/completions/dipeo\n\
                        zsh:  dipeo completions zsh > \"${fpath[1]}/_dipeo\"\n\
                        fish: dipeo completions fish > ~/.config/fish/completions/dipeo.fish\n\
                        Example: dipeo completions bash")]
pub struct CompletionsArgs {
    /// The shell
    pub shell: CompletedShell,
}

/// A shell that completes commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CompletedShell {
    Bash,
    Zsh,
    Fish,
}

/// Example: dipeo man --out ~/.local/share/man/man1
#[derive(Debug, Args)]
#[command(after_help = "Without --out the page of `dipeo` itself goes to stdout: dipeo man | man -l -\n\
                        Example: dipeo man --out ~/.local/share/man/man1")]
pub struct ManArgs {
    /// Write the pages of all commands into this folder
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Prints what a shell needs to complete our commands.
///
/// # Errors
///
/// `INTERNAL` when it cannot be written as JSON.
pub fn completions(output: Output, args: &CompletionsArgs) -> Result<u8, Error> {
    let shell = match args.shell {
        CompletedShell::Bash => Shell::Bash,
        CompletedShell::Zsh => Shell::Zsh,
        CompletedShell::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "dipeo", &mut script);
    let script = String::from_utf8_lossy(&script);
    if output.is_json() {
        output.json(&json!({"shell": shell.to_string(), "script": script}))?;
    } else {
        output.text(&script);
    }
    Ok(0)
}

/// Prints the manual page of the program, or writes those of all commands into a folder.
///
/// # Errors
///
/// `FILE_FAILED` when a page cannot be written.
pub fn man(output: Output, args: &ManArgs) -> Result<u8, Error> {
    let mut program = Cli::command();
    program.build();
    let Some(folder) = &args.out else {
        let page = page_of(&program)?;
        if output.is_json() {
            output.json(&json!({"page": page}))?;
        } else {
            output.text(&page);
        }
        return Ok(0);
    };
    let failed = |path: &Path, e: std::io::Error| {
        Error::external("FILE_FAILED", format!("cannot write `{}`: {}", path.display(), e.kind()))
            .hint("give a folder that you may write to")
            .source(e)
    };
    std::fs::create_dir_all(folder).map_err(|e| failed(folder, e))?;
    let mut pages = Vec::new();
    collect(&program, &mut pages)?;
    let mut written = Vec::with_capacity(pages.len());
    for (name, page) in pages {
        let path = folder.join(name);
        std::fs::write(&path, page).map_err(|e| failed(&path, e))?;
        written.push(path);
    }
    let total = written.len();
    output.plain(&json!({"pages": written, "total": total}), "manual pages", |_| {
        format!("{total} pages in {}\n", folder.display())
    })?;
    Ok(0)
}

/// The pages of a command and of all below it, by file name.
fn collect(command: &clap::Command, pages: &mut Vec<(String, String)>) -> Result<(), Error> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    pages.push((format!("{name}.1"), page_of(command)?));
    for below in command.get_subcommands().filter(|it| !it.is_hide_set()) {
        collect(below, pages)?;
    }
    Ok(())
}

fn page_of(command: &clap::Command) -> Result<String, Error> {
    let mut page = Vec::new();
    let man = Man::new(command.clone()).source(concat!("dipeo ", env!("CARGO_PKG_VERSION"))).manual("dipeo");
    man.render(&mut page).map_err(|e| Error::internal("a manual page cannot be written").source(e))?;
    Ok(with_date_of_its_own(&String::from_utf8_lossy(&page)))
}

/// `man` reads the third word of the title as the date and the fourth as the source; what writes the page leaves out
/// the date, and so puts the source in its place.
fn with_date_of_its_own(page: &str) -> String {
    page.replacen(" 1  \"", " 1 \"\" \"", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_title_of_a_page_has_an_empty_date_and_then_the_source() {
        let mut program = Cli::command();
        program.build();
        let mut pages = Vec::new();
        collect(&program, &mut pages).expect("written");
        for (name, page) in pages {
            let title = page.lines().find(|it| it.starts_with(".TH ")).unwrap_or_else(|| panic!("{name}: {page}"));
            let source = concat!(" 1 \"\" \"dipeo ", env!("CARGO_PKG_VERSION"), "\" dipeo");
            assert!(title.contains(source), "{name}: {title}");
        }
    }
}
