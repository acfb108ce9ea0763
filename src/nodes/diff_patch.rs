//! `diff_patch`: changes one file as a unified or git diff says (diagrams.md 2.16). What a diff means is
//! decided in `parse` and `apply`, which are pure; here files are read, kept, written.

mod apply;
mod choose;
mod make;
mod parse;
#[cfg(test)]
mod tests;
mod writing;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use self::apply::{Fit, Patched, apply};
pub use self::make::unified_diff;
use self::parse::FilePatch;
use super::paths::PathField;
use super::template::{Template, render};
use super::{Effect, FieldSpec, Fields, Node, NodeContext, NodeType, Outcome, Output, Preset, Shape};
use crate::diagram::NodeKind;
use crate::error::Error;

pub(super) static TYPE: NodeType = NodeType {
    kind: NodeKind::DiffPatch,
    summary: "Changes a file as a unified or git diff says.",
    fields: FIELDS,
    read,
};

const FIELDS: &[FieldSpec] = &[
    FieldSpec::new("target_path", Shape::Path, "The file to change.").required(),
    FieldSpec::new("diff", Shape::Template, "The diff; without it the input `diff`, else the only input."),
    FieldSpec::new("format", Shape::Choice(FORMATS), "How the diff is written.").or(Preset::Text("unified")),
    FieldSpec::new("apply_mode", Shape::Choice(Mode::NAMES), "What to do with it.").or(Preset::Text("normal")),
    FieldSpec::new("backup", Shape::Bool, "Keep the file as it was beside it.").or(Preset::Bool(true)),
    FieldSpec::new("backup_dir", Shape::Path, "Folder for that copy."),
    FieldSpec::new("validate_patch", Shape::Bool, "Want hunks in order whose headers tell the truth.")
        .or(Preset::Bool(true)),
    FieldSpec::new("strip_level", Shape::Whole(0), "Folders to leave out of the names in a diff of several files.")
        .or(Preset::Whole(1)),
    FieldSpec::new("fuzz_factor", Shape::Whole(0), "How many lines off its place a hunk may be.")
        .or(Preset::Whole(FUZZ_DEFAULT)),
    FieldSpec::new("reject_file", Shape::Path, "Where to write the hunks that do not fit."),
    FieldSpec::new("ignore_whitespace", Shape::Bool, "Runs of blanks are equal.").or(Preset::Bool(false)),
    FieldSpec::new("create_missing", Shape::Bool, "A file that is not there is an empty one.").or(Preset::Bool(false)),
];

const FORMATS: &[&str] = &["unified", "git"];
const FUZZ_DEFAULT: i64 = 2;
/// Most lines a hunk may be off: each is a place to compare.
const FUZZ_MAX: i64 = 1_000;
/// Longest diff, in bytes.
const DIFF_BYTES_MAX: usize = 4 * 1024 * 1024;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    /// All hunks or none.
    #[default]
    Normal,
    /// What fits.
    Force,
    /// Nothing; says what would happen.
    DryRun,
    /// Undo, all hunks or none.
    Reverse,
}

impl Mode {
    const NAMES: &[&str] = &["normal", "force", "dry_run", "reverse"];

    fn parse(name: &str) -> Option<Self> {
        match name {
            "normal" => Some(Self::Normal),
            "force" => Some(Self::Force),
            "dry_run" => Some(Self::DryRun),
            "reverse" => Some(Self::Reverse),
            _ => None,
        }
    }
}

struct DiffPatch {
    target: Option<PathField>,
    diff: Option<Template>,
    wants_git: bool,
    mode: Mode,
    backup: bool,
    backup_dir: Option<PathField>,
    is_strict: bool,
    strip_level: usize,
    fit: Fit,
    reject_file: Option<PathField>,
    create_missing: bool,
}

fn read(fields: &mut Fields<'_>) -> Box<dyn Node> {
    if fields.required_text("target_path").trim().is_empty() && fields.tree("target_path").is_some() {
        fields.missing("target_path");
    }
    let target = PathField::read(fields, "target_path");
    let diff = fields.text_not_blank("diff").and_then(|text| fields.template("diff", &text));
    if diff.is_none() && fields.tree("diff").is_none() && fields.incoming().next().is_none() {
        fields.missing("diff");
    }
    let wants_git = fields.choice("format", FORMATS) == Some("git");
    let mode = fields.choice("apply_mode", Mode::NAMES).and_then(Mode::parse).unwrap_or_default();
    let backup = fields.boolean("backup", true);
    let backup_dir = PathField::read(fields, "backup_dir");
    if backup_dir.is_some() && !backup {
        fields.problem("W402", "backup_dir", "`backup_dir` has no effect with `backup: false`", "remove one of them");
    }
    let is_strict = fields.boolean("validate_patch", true);
    let strip_level = fields.integer("strip_level", 0).and_then(|it| usize::try_from(it).ok()).unwrap_or(1);
    let fuzz = read_fuzz(fields);
    let reject_file = PathField::read(fields, "reject_file");
    if reject_file.is_some() && mode == Mode::DryRun {
        let hint = "the value lists what does not fit";
        fields.problem("W402", "reject_file", "`reject_file` has no effect with `apply_mode: dry_run`", hint);
    }
    let fit = Fit { fuzz, ignore_whitespace: fields.boolean("ignore_whitespace", false) };
    let create_missing = fields.boolean("create_missing", false);
    Box::new(DiffPatch {
        target,
        diff,
        wants_git,
        mode,
        backup,
        backup_dir,
        is_strict,
        strip_level,
        fit,
        reject_file,
        create_missing,
    })
}

fn read_fuzz(fields: &mut Fields<'_>) -> usize {
    let lines = fields.integer("fuzz_factor", 0).unwrap_or(FUZZ_DEFAULT);
    if lines > FUZZ_MAX {
        let message = format!("`fuzz_factor` is {lines}, which is too large");
        fields.problem("E404", "fuzz_factor", message, format!("write {FUZZ_MAX} or less"));
    }
    usize::try_from(lines.min(FUZZ_MAX)).unwrap_or(0)
}

impl Node for DiffPatch {
    fn effect(&self) -> Effect {
        if self.mode == Mode::DryRun { Effect::None } else { Effect::Outside }
    }

    fn reads(&self) -> bool {
        true
    }

    fn run<'a>(&'a self, cx: &'a NodeContext) -> BoxFuture<'a, Result<Outcome, Error>> {
        Box::pin(async move {
            let target = self.target.as_ref().ok_or_else(|| Error::internal("a diff_patch without a target"))?;
            let target = target.render(cx)?;
            let patch = self.patch(&self.diff_text(cx)?, &target)?;
            for what in &patch.beside {
                cx.notes
                    .log("warning", format!("{what} in the diff has no effect: only the text of a file is changed"));
            }
            let before = self.before(&target, cx).await?;
            let mut patched = apply(before.as_deref().unwrap_or_default(), &patch.hunks, self.fit);
            if patch.creates && before.as_ref().is_some_and(|it| !it.is_empty()) {
                patched = exists_already(before.clone().unwrap_or_default(), patch.hunks.len());
            }
            self.carry_out(&target, before, &patch, patched, cx).await
        })
    }
}

impl DiffPatch {
    /// The field, else the name `diff`, else the only input.
    fn diff_text(&self, cx: &NodeContext) -> Result<String, Error> {
        let text = match &self.diff {
            Some(template) => render(cx, template, &Map::new())?,
            None => {
                let named = cx.names.get("diff");
                match named.as_deref().or_else(|| cx.names.inputs.only().map(AsRef::as_ref)) {
                    Some(Value::String(text)) => text.clone(),
                    _ => {
                        return Err(Error::invalid("PARSE_FAILED", "there is no diff")
                            .hint("give the node a `diff`, or an input `diff` that is a text"));
                    }
                }
            }
        };
        if text.len() > DIFF_BYTES_MAX {
            let message = format!("the diff is larger than {} MiB", DIFF_BYTES_MAX / (1024 * 1024));
            return Err(Error::limit("PARSE_FAILED", message).hint("split it into several"));
        }
        Ok(text)
    }

    /// What the diff says of the target, in the direction it is applied.
    fn patch(&self, diff: &str, target: &str) -> Result<FilePatch, Error> {
        let files = parse::parse(diff, self.is_strict).map_err(|problem| {
            let hint = if self.is_strict {
                "correct the diff; `validate_patch: false` takes its lines as they are, whatever its headers say"
            } else {
                "give a unified diff: `--- old`, `+++ new`, `@@ -1,3 +1,4 @@`, then lines with a blank, `-` or `+`"
            };
            Error::invalid("PARSE_FAILED", format!("line {} of the diff: {}", problem.line, problem.message))
                .hint(hint)
                .details(json!({"line": problem.line}))
        })?;
        let patch = choose::for_target(files, target, self.strip_level)?;
        if self.wants_git && !patch.is_git {
            return Err(Error::invalid("PARSE_FAILED", "the diff does not begin with `diff --git`")
                .hint("leave out `format: git`, or make the diff with `git diff`"));
        }
        if patch.is_binary {
            return Err(Error::invalid("PATCH_REJECTED", format!("the diff changes `{target}` as a binary file"))
                .hint("only text can be patched; write the file as a whole"));
        }
        Ok(if self.mode == Mode::Reverse { patch.reversed() } else { patch })
    }

    async fn before(&self, target: &str, cx: &NodeContext) -> Result<Option<Vec<u8>>, Error> {
        match cx.ports.files.read(target, &cx.rights).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.code() == "FILE_NOT_FOUND" && self.create_missing => Ok(None),
            Err(error) if error.code() == "FILE_NOT_FOUND" => {
                Err(error.hint("check `target_path`, or let a diff make the file with `create_missing: true`"))
            }
            Err(error) => Err(error),
        }
    }

    async fn carry_out(
        &self,
        target: &str,
        before: Option<Vec<u8>>,
        patch: &FilePatch,
        patched: Patched,
        cx: &NodeContext,
    ) -> Result<Outcome, Error> {
        let is_whole = patched.rejected.is_empty();
        let is_dry = self.mode == Mode::DryRun;
        if !is_whole && !is_dry {
            self.write_rejects(patch, &patched, cx).await?;
        }
        if !is_whole && matches!(self.mode, Mode::Normal | Mode::Reverse) {
            return Err(rejected(target, before.as_deref(), patch, &patched, self.fit));
        }
        let deletes = patch.deletes && is_whole && patched.bytes.is_empty();
        let backup = if is_dry { None } else { self.write(target, before, &patched.bytes, deletes, cx).await? };
        let hash = (!deletes).then(|| hex::encode(Sha256::digest(&patched.bytes)));
        let mut value = json!({
            "status": if is_whole { "success" } else { "partial" },
            "target_path": target,
            "applied_hunks": patched.n_applied,
            "rejected_hunks": shown(patch, &patched),
            "backup_path": backup,
            "file_hash": hash,
            "dry_run": is_dry,
        });
        if deletes {
            value["deleted"] = true.into();
        }
        Ok(Outcome::Done(Output::value(value)))
    }
}

/// A diff that makes a file finds one there.
fn exists_already(before: Vec<u8>, n_hunks: usize) -> Patched {
    let reason = "the diff makes the file, and it exists already";
    let rejected = (0..n_hunks).map(|idx| apply::Rejected { idx, reason: reason.to_owned() });
    Patched { bytes: before, n_applied: 0, rejected: rejected.collect() }
}

/// The hunks that do not fit: number, line, reason and text of each.
fn shown(patch: &FilePatch, patched: &Patched) -> Vec<Value> {
    let all = patched.rejected.iter().filter_map(|it| {
        let hunk = patch.hunks.get(it.idx)?;
        Some(json!({"hunk": it.idx + 1, "line": hunk.old_start, "reason": it.reason, "text": hunk.to_text()}))
    });
    all.collect()
}

fn rejected(target: &str, before: Option<&[u8]>, patch: &FilePatch, patched: &Patched, fit: Fit) -> Error {
    let n = patched.rejected.len();
    let first = patched.rejected.first().map_or(String::new(), |it| format!("hunk {}: {}", it.idx + 1, it.reason));
    let message = format!("{n} of {} hunks do not fit `{target}`: {first}", patch.hunks.len());
    let undone = apply(before.unwrap_or_default(), &patch.clone().reversed().hunks, fit);
    let hint = if undone.rejected.is_empty() && !patch.hunks.is_empty() {
        "the file looks as if the diff had been applied already; nothing was changed"
    } else {
        "make the diff anew from the file as it is, raise `fuzz_factor`, or give `apply_mode: force`; nothing was changed"
    };
    let details = json!({"applied_hunks": patched.n_applied, "rejected_hunks": shown(patch, patched)});
    Error::invalid("PATCH_REJECTED", message).hint(hint).details(details)
}
