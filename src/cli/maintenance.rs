//! `dipeo maintenance`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Context;
use crate::engine::Status;
use crate::error::Error;
use crate::handlers::maintenance::analyze::analyze;
use crate::handlers::maintenance::backup::{self, backup};
use crate::handlers::maintenance::check::{self, check};
use crate::handlers::maintenance::hold::{self, hold};
use crate::handlers::maintenance::prune::{self, prune};
use crate::handlers::maintenance::restore::{self, restore};
use crate::handlers::maintenance::stats::{self, stats};
use crate::handlers::maintenance::vacuum::{self, vacuum};

/// What stands above an answer in Markdown.
const TITLE: &str = "maintenance";
/// Exit code when a check found problems: a finding needs action.
const FOUND_PROBLEMS: u8 = 2;

/// Example: dipeo maintenance prune --keep 1000 --dry-run
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo maintenance prune --keep 1000 --dry-run")]
pub struct MaintenanceArgs {
    #[command(subcommand)]
    pub action: MaintenanceAction,
}

/// What to do with the database. All of it works while executions run, except `restore`.
#[derive(Debug, Subcommand)]
pub enum MaintenanceAction {
    /// Delete old executions and give the room back to the disk; what is not given is as dipeo.toml says
    #[command(after_help = "Example: dipeo maintenance prune --keep 1000 --dry-run")]
    Prune(PruneArgs),
    /// Copy the database while it is in use; secrets and their key are not in it
    #[command(after_help = "Example: dipeo maintenance backup --keep 7d,4w,12m")]
    Backup(BackupArgs),
    /// Put a backup in the place of the database; the old one is kept beside it
    #[command(after_help = "Example: dipeo maintenance restore .dipeo/backups/dipeo_state.db")]
    Restore {
        /// A file that `backup` wrote
        backup: PathBuf,
    },
    /// Look for damage, and compare every execution with its log
    #[command(after_help = "Example: dipeo maintenance check")]
    Check {
        /// Look through this backup instead, as it would be after a restore
        #[arg(long, value_name = "FILE")]
        backup: Option<PathBuf>,
    },
    /// Give free room in the file back to the disk
    #[command(after_help = "Example: dipeo maintenance vacuum")]
    Vacuum,
    /// Count what the query planner asks for; rarely needed
    #[command(after_help = "Example: dipeo maintenance analyze")]
    Analyze,
    /// Say how large the database is, and of what
    #[command(after_help = "Example: dipeo maintenance stats")]
    Stats,
    /// Keep an execution, whatever retention says
    #[command(after_help = "Example: dipeo maintenance hold exec_0123…")]
    Hold {
        /// Its id
        execution_id: String,
    },
    /// Let retention have an execution again
    #[command(after_help = "Example: dipeo maintenance release exec_0123…")]
    Release {
        /// Its id
        execution_id: String,
    },
}

/// What to prune.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Delete executions that nothing happened to for so many days (retention.executions_days, 90)
    #[arg(long, value_name = "N")]
    pub days: Option<u32>,
    /// Keep at most so many, the newest (retention.max_executions, off)
    #[arg(long, value_name = "N")]
    pub keep: Option<u64>,
    /// Keep so many of each diagram however old they are (retention.keep_per_diagram, 20)
    #[arg(long, value_name = "N")]
    pub keep_per_diagram: Option<u64>,
    /// Only executions of this status: completed, failed or aborted
    #[arg(long, value_name = "STATUS")]
    pub status: Option<String>,
    /// Only say how many would go
    #[arg(long)]
    pub dry_run: bool,
}

/// Where to copy to.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// A new file, or a folder for files named by the time (.dipeo/backups/)
    pub path: Option<PathBuf>,
    /// Of the backups in the folder keep the newest of each of the last days, weeks, months: 7d,4w,12m
    #[arg(long, value_name = "LIST")]
    pub keep: Option<String>,
}

/// Carries out what was asked and prints what came of it.
pub async fn maintenance(context: &Context<'_>, args: MaintenanceArgs) -> Result<u8, Error> {
    let (app, caller, output) = (context.app, &context.caller, context.output);
    match args.action {
        MaintenanceAction::Prune(args) => {
            let response = prune(app, caller, prune_request(args)?).await?;
            output.plain(&response, TITLE, pruned)?;
        }
        MaintenanceAction::Backup(args) => {
            let response = backup(app, caller, backup::Request { path: args.path, keep: args.keep }).await?;
            output.plain(&response, TITLE, backed_up)?;
        }
        MaintenanceAction::Restore { backup } => {
            let response = restore(app, caller, restore::Request { backup }).await?;
            output.plain(&response, TITLE, restored)?;
            return Ok(code_of(&response.problems));
        }
        MaintenanceAction::Check { backup } => {
            let response = check(app, caller, check::Request { backup }).await?;
            output.plain(&response, TITLE, checked)?;
            return Ok(code_of(&response.problems));
        }
        MaintenanceAction::Vacuum => {
            let response = vacuum(app, caller).await?;
            output.plain(&response, TITLE, vacuumed)?;
        }
        MaintenanceAction::Analyze => {
            analyze(app, caller).await?;
            output.plain(&serde_json::json!({}), TITLE, |_| "counted".to_owned())?;
        }
        MaintenanceAction::Stats => {
            let response = stats(app, caller).await?;
            output.plain(&response, TITLE, counted)?;
        }
        MaintenanceAction::Hold { execution_id } => held(context, execution_id, true).await?,
        MaintenanceAction::Release { execution_id } => held(context, execution_id, false).await?,
    }
    Ok(0)
}

async fn held(context: &Context<'_>, execution_id: String, hold: bool) -> Result<(), Error> {
    let response = self::hold(context.app, &context.caller, hold::Request { execution_id, hold }).await?;
    let now = if response.hold { "is kept" } else { "is as any other" };
    context.output.plain(&response, TITLE, |it| format!("{} {now}", it.execution_id))
}

fn prune_request(args: PruneArgs) -> Result<prune::Request, Error> {
    let status = args.status.map(|text| {
        Status::parse(&text).ok_or_else(|| {
            Error::invalid("INVALID_INPUT", format!("`{text}` is no status")).hint("write completed, failed or aborted")
        })
    });
    Ok(prune::Request {
        days: args.days,
        keep: args.keep,
        keep_per_diagram: args.keep_per_diagram,
        status: status.transpose()?,
        dry_run: args.dry_run,
    })
}

fn code_of(problems: &[String]) -> u8 {
    if problems.is_empty() { 0 } else { FOUND_PROBLEMS }
}

fn pruned(it: &prune::Response) -> String {
    if it.dry_run {
        return format!("{} executions would go, with what they started\n", it.executions);
    }
    format!(
        "{} executions deleted ({} rows), {} values and texts that nobody used any more\nthe file has {}, before {}\n",
        it.executions,
        it.rows,
        it.unused,
        size(it.bytes_after),
        size(it.bytes_before)
    )
}

fn backed_up(it: &backup::Response) -> String {
    let removed: String = it.removed.iter().map(|path| format!("deleted {path}\n")).collect();
    format!(
        "{}\n{}, checked; secrets and their key are not in it, keep ~/.dipeo apart\n{removed}",
        it.path,
        size(it.bytes)
    )
}

fn restored(it: &restore::Response) -> String {
    let kept = it.kept.as_ref().map(|path| format!("the old database is {path}\n")).unwrap_or_default();
    format!("restored {}\n{kept}{}{}", it.path, statuses(&it.executions), problems(&it.problems))
}

fn checked(it: &check::Response) -> String {
    format!("{}: {} executions compared with their logs\n{}", it.path, it.compared, problems(&it.problems))
}

fn problems(found: &[String]) -> String {
    if found.is_empty() {
        return "no problems\n".to_owned();
    }
    let lines: String = found.iter().map(|it| format!("problem: {it}\n")).collect();
    format!("{lines}hint: restore a backup with `dipeo maintenance restore FILE`, or report what you see\n")
}

fn vacuumed(it: &vacuum::Response) -> String {
    let converted = if it.converted { "the file can shrink by itself from now on\n" } else { "" };
    format!("{converted}the file has {}, before {}\n", size(it.bytes_after), size(it.bytes_before))
}

fn counted(it: &stats::Response) -> String {
    let mut text = format!(
        "{}\nfile {}, log {}, free {}{}\n",
        it.path,
        size(it.file_bytes),
        size(it.log_bytes),
        size(it.free_bytes),
        if it.can_shrink { "" } else { " (run `dipeo maintenance vacuum` once, so that it can shrink)" }
    );
    text.push_str(&statuses(&it.executions));
    if let Some(oldest) = &it.oldest {
        text.push_str(&format!("the oldest execution began {oldest}\n"));
    }
    for table in &it.tables {
        text.push_str(&format!("  {:<16} {:>10} rows  {:>10}\n", table.table, table.rows, size(table.bytes)));
    }
    text
}

fn statuses(counts: &std::collections::BTreeMap<String, u64>) -> String {
    let parts: Vec<String> = counts.iter().map(|(status, n)| format!("{n} {status}")).collect();
    let total: u64 = counts.values().sum();
    format!("{total} executions{}{}\n", if parts.is_empty() { "" } else { ": " }, parts.join(", "))
}

/// Bytes as a person reads them.
fn size(n_bytes: u64) -> String {
    let units = ["B", "KB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (n_bytes as f64, 0);
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{n_bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (n_bytes, want) in [(0, "0 B"), (999, "999 B"), (1_000, "1.0 KB"), (123_456_789, "123.5 MB")] {
            assert_eq!(size(n_bytes), want);
        }
    }
}
