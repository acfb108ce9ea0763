//! Which part of a diff is about the target.

use super::parse::FilePatch;
use crate::error::Error;

/// Returns what `files` say of `target`. The only file of a diff is the target whatever its name is, as for
/// any program that is told which file to patch; among several the name decides.
///
/// # Errors
///
/// `PATCH_REJECTED` when none of several is the target.
pub(super) fn for_target(files: Vec<FilePatch>, target: &str, strip_level: usize) -> Result<FilePatch, Error> {
    let names: Vec<String> = files.iter().filter_map(FilePatch::name).map(str::to_owned).collect();
    let is_only = files.len() == 1;
    let mut chosen: Option<FilePatch> = None;
    for file in files {
        if !is_only && !is_named(&file, target, strip_level) {
            continue;
        }
        match &mut chosen {
            // A diff may come back to a file.
            Some(first) => first.hunks.extend(file.hunks),
            None => chosen = Some(file),
        }
    }
    chosen.ok_or_else(|| {
        let message = format!("the diff changes `{}`, not `{target}`", names.join("`, `"));
        Error::invalid("PATCH_REJECTED", message).hint(format!(
            "names count without their first {strip_level} folders (`strip_level`); the rest must be the target's path"
        ))
    })
}

fn is_named(file: &FilePatch, target: &str, strip_level: usize) -> bool {
    let target = target.trim_start_matches("./");
    let names = [&file.old_name, &file.new_name];
    names.into_iter().flatten().filter_map(|it| stripped(it, strip_level)).any(|it| it == target)
}

/// A name without its first `n` folders; `None` when it has not so many.
fn stripped(name: &str, n: usize) -> Option<&str> {
    let mut rest = name.trim_start_matches("./");
    for _ in 0..n {
        rest = rest.split_once('/')?.1.trim_start_matches('/');
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_without_their_first_folders() {
        for (name, n, expected) in [
            ("a/src/x", 1, Some("src/x")),
            ("./src/x", 0, Some("src/x")),
            ("src/x", 2, None),
            ("/a//b", 2, Some("b")),
            ("x", 1_000_000_000, None),
        ] {
            assert_eq!(stripped(name, n), expected, "{name} {n}");
        }
    }
}
