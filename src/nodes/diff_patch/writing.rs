//! What a patch leaves behind: the file, a copy of what it was, the hunks that did not fit.

use sha2::{Digest, Sha256};

use super::DiffPatch;
use super::apply::Patched;
use super::parse::FilePatch;
use crate::error::Error;
use crate::nodes::NodeContext;

/// How much of the digest stands in the name of a copy, in characters.
const DIGEST_CHARS: usize = 8;

impl DiffPatch {
    /// Replaces or removes the file and returns the path of the copy of what it was, if one was kept.
    pub(super) async fn write(
        &self,
        target: &str,
        before: Option<Vec<u8>>,
        after: &[u8],
        deletes: bool,
        cx: &NodeContext,
    ) -> Result<Option<String>, Error> {
        if !deletes && before.as_deref() == Some(after) {
            return Ok(None);
        }
        let backup = match &before {
            Some(bytes) if self.backup => {
                let path = self.backup_path(target, bytes, cx)?;
                cx.ports.files.write(&path, bytes, &cx.rights).await?;
                Some(path)
            }
            _ => None,
        };
        if deletes {
            cx.ports.files.remove(target, &cx.rights).await?;
            return Ok(backup);
        }
        let (after, shown) = (after.to_vec(), target.to_owned());
        let change = Box::new(move |now: Option<Vec<u8>>| if now == before { Ok(after) } else { Err(changed(&shown)) });
        cx.ports.files.change(target, change, &cx.rights).await?;
        Ok(backup)
    }

    /// The name says what the copy holds, so a later one never replaces another content.
    fn backup_path(&self, target: &str, bytes: &[u8], cx: &NodeContext) -> Result<String, Error> {
        let digest = hex::encode(Sha256::digest(bytes));
        let digest = &digest[..DIGEST_CHARS];
        match &self.backup_dir {
            Some(folder) => {
                let folder = folder.render(cx)?;
                let name = target.rsplit('/').next().unwrap_or(target);
                Ok(format!("{}/{name}.{digest}.bak", folder.trim_end_matches('/')))
            }
            None => Ok(format!("{target}.{digest}.bak")),
        }
    }

    /// Writes the hunks that do not fit to `reject_file`, if there is one.
    pub(super) async fn write_rejects(
        &self,
        patch: &FilePatch,
        patched: &Patched,
        cx: &NodeContext,
    ) -> Result<(), Error> {
        let Some(path) = &self.reject_file else { return Ok(()) };
        let name = |it: &Option<String>| it.clone().unwrap_or_else(|| "/dev/null".to_owned());
        let mut text = format!("--- {}\n+++ {}\n", name(&patch.old_name), name(&patch.new_name));
        let hunks = patched.rejected.iter().filter_map(|it| patch.hunks.get(it.idx));
        hunks.for_each(|it| text.push_str(&it.to_text()));
        cx.ports.files.write(&path.render(cx)?, text.as_bytes(), &cx.rights).await
    }
}

fn changed(path: &str) -> Error {
    Error::external("FILE_FAILED", format!("`{path}` was changed while it was being patched"))
        .hint("run the node again")
        .retryable(true)
}
