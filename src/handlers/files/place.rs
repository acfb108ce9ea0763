//! Where a file that a client names may be: below one folder of the workspace, whatever the name says and whatever
//! links lie on the way.

use std::io;
use std::path::{Component, Path, PathBuf};

use crate::error::Error;

/// Longest path below its folder, in bytes.
const PATH_BYTES_MAX: usize = 512;
/// Longest name of one file or folder, in bytes: what is put before or behind it still fits into a name.
const NAME_BYTES_MAX: usize = 200;

/// Reads a path that a client wrote: plain names with `/` between them, none hidden.
///
/// # Errors
///
/// `INVALID_NAME`.
pub(super) fn relative(written: &str) -> Result<PathBuf, Error> {
    let is_plain = |it: Component<'_>| match it {
        Component::Normal(name) => name.to_str().is_some_and(is_name),
        Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => false,
    };
    let path = Path::new(written);
    // `a//b` and `a/./b` are read as `a/b`, so what is written is looked at as well.
    let as_written = written.split('/').all(is_name);
    if written.len() <= PATH_BYTES_MAX && as_written && path.components().all(is_plain) {
        return Ok(path.to_path_buf());
    }
    let shown: String = written.chars().filter(|it| !it.is_control()).take(80).collect();
    Err(Error::invalid("INVALID_NAME", format!("`{shown}` is no path of a file here"))
        .hint("write names without a dot before them, with `/` between folders, and no `..`"))
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.len() <= NAME_BYTES_MAX
        && name.trim() == name
        && !name.chars().any(|it| it.is_control() || it == '\\')
}

/// The real path of an existing file below `folder`, links resolved; `None` when there is none, or it is elsewhere.
pub(super) fn existing(folder: &Path, relative: &Path) -> Option<PathBuf> {
    let (folder, file) = (folder.canonicalize().ok()?, folder.join(relative).canonicalize().ok()?);
    (file.starts_with(&folder) && file.is_file()).then_some(file)
}

/// Makes the folder of a file to be and returns the file's real path. The folder `top` of the workspace is made too;
/// no link leads out of it, and the file itself is no link.
///
/// # Errors
///
/// `PATH_NOT_ALLOWED` when the place is not below `top`, or something else than a file is there; `FILE_FAILED`.
pub(super) fn for_writing(root: &Path, top: &str, relative: &Path) -> Result<PathBuf, Error> {
    let shown = Path::new(top).join(relative).display().to_string();
    let failed = |error: io::Error| {
        Error::external("FILE_FAILED", format!("cannot write `{shown}`: {}", error.kind()))
            .hint("look at the rights of the folder, and for a file where a folder belongs")
            .source(error)
    };
    let refused = || {
        Error::refused("PATH_NOT_ALLOWED", format!("`{shown}` is not a file below `{top}/`"))
            .hint("a link or a folder is there; choose another name")
    };
    std::fs::create_dir_all(root.join(top)).map_err(failed)?;
    let real_root = root.canonicalize().map_err(failed)?;
    let mut folder = root.join(top).canonicalize().map_err(failed)?;
    if !folder.starts_with(&real_root) {
        return Err(refused());
    }
    let allowed = folder.clone();
    for name in relative.parent().into_iter().flat_map(Path::components) {
        let next = folder.join(name);
        match std::fs::create_dir(&next) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        folder = next.canonicalize().map_err(failed)?;
        if !folder.starts_with(&allowed) || !folder.is_dir() {
            return Err(refused());
        }
    }
    let file = folder.join(relative.file_name().ok_or_else(refused)?);
    match file.symlink_metadata() {
        Ok(there) if !there.is_file() => Err(refused()),
        Ok(_) | Err(_) => Ok(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_paths_are_refused_as_text() {
        for path in [
            "",
            ".",
            "..",
            "../x",
            "a/../x",
            "/etc/passwd",
            "a//b",
            "a/",
            "/",
            "./a",
            "a/./b",
            ".hidden",
            "a/.git/x",
            "a\0b",
            "a\\b",
            "C:\\x",
            "a\nb",
            " a",
            "a ",
            "a/ /b",
        ] {
            assert_eq!(relative(path).expect_err(path).code(), "INVALID_NAME", "{path:?}");
        }
        for long in ["x".repeat(201), format!("{}y", "a/".repeat(300))] {
            assert!(relative(&long).is_err());
        }
        for path in ["a", "a.b.txt", "dir/My file (1).pdf", "ünï/日本.txt", "a..b"] {
            assert_eq!(relative(path).expect(path), Path::new(path));
        }
    }

    #[test]
    fn no_link_leads_out_and_nothing_but_a_file_is_written() {
        use std::os::unix::fs::symlink;
        let outside = tempfile::tempdir().expect("folder");
        let inside = tempfile::tempdir().expect("folder");
        let root = inside.path();
        let to = |path: &str| for_writing(root, "files", Path::new(path)).map_err(|it| it.code());
        assert_eq!(to("new/deep/a.txt"), Ok(root.canonicalize().expect("there").join("files/new/deep/a.txt")));
        symlink(outside.path(), root.join("files/out")).expect("linked");
        symlink(outside.path().join("x"), root.join("files/dangling")).expect("linked");
        symlink(root.join("files/new"), root.join("files/in")).expect("linked");
        std::fs::write(root.join("files/plain"), "").expect("written");
        assert_eq!(to("out/a.txt"), Err("PATH_NOT_ALLOWED"));
        assert_eq!(to("dangling"), Err("PATH_NOT_ALLOWED"));
        assert_eq!(to("new"), Err("PATH_NOT_ALLOWED"));
        assert!(to("plain/a.txt").is_err());
        assert!(to("in/b.txt").is_ok());
        assert_eq!(std::fs::read_dir(outside.path()).expect("readable").count(), 0);

        std::fs::write(outside.path().join("secret"), "").expect("written");
        symlink(outside.path().join("secret"), root.join("files/leak")).expect("linked");
        let found = |path: &str| existing(&root.join("files"), Path::new(path)).is_some();
        assert!(found("plain") && !found("leak") && !found("out/secret") && !found("new") && !found("missing"));
    }
}
