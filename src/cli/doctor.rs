//! `dipeo doctor`.

use clap::Args;

use super::Context;
use crate::error::Error;
use crate::handlers::doctor::{self, Fact};
use crate::handlers::torture::{self, Request, torture};

/// Example: dipeo doctor
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo doctor\n         dipeo doctor --torture 60")]
pub struct DoctorArgs {
    /// Kill engines on a scratch database for so long, then prove that nothing was lost and nothing committed ran again
    #[arg(long, value_name = "SECONDS")]
    pub torture: Option<u64>,
    /// Decides which diagrams run and how long engines live
    #[arg(long, value_name = "N", requires = "torture")]
    pub seed: Option<u64>,
    /// Stop killing after so many kills
    #[arg(long, value_name = "N", requires = "torture")]
    pub kills: Option<u64>,
}

/// Exit code when something is to be done.
const ACTION: u8 = 2;

/// Looks at the installation, or tortures it.
pub async fn doctor(context: &Context<'_>, args: DoctorArgs) -> Result<u8, Error> {
    if let Some(seconds) = args.torture {
        return prove(context, Request { seconds, seed: args.seed, kills: args.kills }).await;
    }
    let found = doctor::doctor(context.app, &context.caller).await?;
    context.output.plain(&found, "doctor", shown)?;
    Ok(if found.ok { 0 } else { ACTION })
}

fn shown(found: &doctor::Response) -> String {
    let mut text = String::new();
    for check in &found.checks {
        text.push_str(&format!("{}\n", check.name));
        text.extend(check.part.facts.iter().map(fact));
        for finding in &check.part.findings {
            text.push_str(&format!("  ! {}\n    do: {}\n", finding.message, finding.hint));
        }
    }
    let n_findings: usize = found.checks.iter().map(|it| it.part.findings.len()).sum();
    text.push_str(&match n_findings {
        0 => "nothing has to be done".to_owned(),
        1 => "1 thing has to be done, marked with !".to_owned(),
        n => format!("{n} things have to be done, marked with !"),
    });
    text
}

fn fact(fact: &Fact) -> String {
    let from = fact.from.as_ref().map(|it| format!("  ({it})")).unwrap_or_default();
    format!("  {:<20} {}{from}\n", fact.name, fact.value)
}

/// Exit code when a promise was broken.
const BROKEN: u8 = 1;

async fn prove(context: &Context<'_>, request: Request) -> Result<u8, Error> {
    if !context.quiet {
        let seconds = request.seconds;
        context.output.note(&format!("killing engines on a scratch database for {seconds} s, then all must end well"));
    }
    let seen = torture(context.app, request).await?;
    context.output.plain(&seen, "torture", told)?;
    Ok(if seen.held { 0 } else { BROKEN })
}

fn told(seen: &torture::Response) -> String {
    let rows = [
        ("kills", seen.kills),
        ("asked to stop", seen.stops),
        ("engines started", seen.engines_started),
        ("executions", seen.executions),
        ("taken over", seen.takeovers),
        ("nodes committed", seen.nodes_committed),
        ("effects", seen.effects),
        ("effects repeated", seen.effects_repeated),
        ("effects lost", seen.effects_lost),
        ("executions lost", seen.executions_lost),
        ("stuck", seen.stuck),
        ("committed nodes repeated", seen.committed_repeated),
    ];
    let mut text: String = rows.into_iter().map(|(name, count)| format!("{name:<26} {count}\n")).collect();
    text.push_str(&format!("{:<26} {}\n", "database", seen.database));
    for violation in &seen.violations {
        text.push_str(&format!("! {}: {}\n", violation.what, violation.message));
    }
    text.push_str(&if seen.held {
        format!("every promise held (seed {}, {} s)", seen.seed, seen.seconds)
    } else {
        let folder = seen.folder.as_ref().map(|it| it.display().to_string()).unwrap_or_default();
        let of = seen.seed;
        format!(
            "a promise was broken (seed {of}); look at `dipeo -C {folder}/work results ID` and {folder}/engines.log"
        )
    });
    text
}
