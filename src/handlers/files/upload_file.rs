//! Takes a file from a client, piece by piece, and puts it below `files/` whole or not at all. What was there is
//! kept beside it. A text that could run as a diagram counts as submitted, as everywhere.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::super::caller::Scope;
use super::super::run_diagram::may_run;
use super::super::workspace::{has_suffix, name_of};
use super::super::{App, Caller};
use super::place;
use crate::config::sha256;
use crate::diagram::parse;
use crate::error::Error;
use crate::limits;
use crate::store::{NewRevision, Source};

/// The only folder of the workspace that uploads reach.
const TOP: &str = "files";
/// Where a file without a path goes.
const DEFAULT_FOLDER: &str = "uploads";
/// Bytes taken at once.
const PIECE: usize = 64 * 1024;
/// Names that are tried for what was there before.
const BACKUPS_MAX: u32 = 100;

/// What the file is called and where it goes.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// As the client calls it.
    pub name: String,
    /// Below files/, with the name; one that ends in `/` is a folder (uploads/ and the name).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content_type: Option<String>,
}

/// Where it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub success: bool,
    /// Below the workspace.
    pub path: String,
    pub size_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content_type: Option<String>,
    pub message: String,
    /// Where what was there before is now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub backup: Option<String>,
}

/// Reads `body` to its end and keeps it. When that fails, or the client goes away, nothing has changed.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `INVALID_NAME`, `PATH_NOT_ALLOWED`, `DIAGRAM_NOT_ALLOWED`, `TOO_LARGE` beyond 100 MiB, `FILE_FAILED`; what the
/// database says.
pub async fn upload_file(
    app: &App,
    caller: &Caller,
    request: Request,
    body: impl AsyncRead + Send,
) -> Result<Response, Error> {
    caller.require(&[Scope::DiagramWrite])?;
    let relative = destination(&request)?;
    let place = place::for_writing(app.workspace.root(), TOP, &relative)?;
    let shown = format!("{TOP}/{}", relative.display());
    let beside = Beside::new(&place);
    let size_bytes = receive(body, &beside.0, &shown).await?;
    mark_submitted(app, caller, &shown, &beside.0, size_bytes).await?;
    let backup = keep_before(app, &place, &shown)?;
    fs::rename(&beside.0, &place).map_err(|error| failed(&shown, error))?;
    let note = backup.as_ref().map(|it| format!("; what was there is now `{it}`")).unwrap_or_default();
    Ok(Response {
        success: true,
        message: format!("kept {size_bytes} bytes as `{shown}`{note}"),
        path: shown,
        size_bytes,
        content_type: request.content_type,
        backup,
    })
}

/// The path below `files/` that is meant.
fn destination(request: &Request) -> Result<PathBuf, Error> {
    let written = match request.path.as_deref().filter(|it| !it.is_empty()) {
        None => format!("{DEFAULT_FOLDER}/{}", own_name(request)?),
        Some(path) => {
            let path = path.strip_prefix("files/").unwrap_or(path);
            if path.is_empty() || path.ends_with('/') {
                format!("{path}{}", own_name(request)?)
            } else {
                path.to_owned()
            }
        }
    };
    place::relative(&written)
}

/// The name alone: what a browser calls a file is no path.
fn own_name(request: &Request) -> Result<&str, Error> {
    place::relative(&request.name)?;
    if request.name.contains('/') {
        return Err(Error::invalid("INVALID_NAME", format!("`{}` is a path, not a name", request.name))
            .hint("give the folders as `path`"));
    }
    Ok(&request.name)
}

/// A hidden file beside the one to be; it goes away unless it was renamed.
struct Beside(PathBuf);

impl Beside {
    fn new(place: &Path) -> Self {
        Self(place.with_file_name(format!(".{}.tmp", uuid::Uuid::new_v4().simple())))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // There is none any more when all went well.
        let _ = fs::remove_file(&self.0);
    }
}

async fn receive(body: impl AsyncRead + Send, to: &Path, shown: &str) -> Result<u64, Error> {
    let wrong = |error| failed(shown, error);
    let mut body = std::pin::pin!(body);
    let mut file = tokio::fs::File::options().write(true).create_new(true).open(to).await.map_err(wrong)?;
    let (mut piece, mut size_bytes) = (vec![0; PIECE], 0);
    loop {
        let n_read = body.read(&mut piece).await.map_err(|error| {
            Error::external("FILE_FAILED", "the upload broke off").hint("send it again").source(error)
        })?;
        if n_read == 0 {
            break;
        }
        size_bytes += n_read as u64;
        if size_bytes > limits::UPLOAD_BYTES_MAX {
            let most = limits::UPLOAD_BYTES_MAX / 1024 / 1024;
            return Err(Error::limit("TOO_LARGE", format!("the file has more than {most} MiB"))
                .hint("put it below files/ by hand"));
        }
        file.write_all(&piece[..n_read]).await.map_err(wrong)?;
    }
    file.sync_all().await.map_err(wrong)?;
    Ok(size_bytes)
}

/// Notes that a client sent the text, before anybody can find it, if it is one that could run.
async fn mark_submitted(app: &App, caller: &Caller, shown: &str, file: &Path, size_bytes: u64) -> Result<(), Error> {
    if !has_suffix(shown) || size_bytes > limits::DIAGRAM_BYTES_MAX as u64 {
        return Ok(());
    }
    let bytes = fs::read(file).map_err(|error| failed(shown, error))?;
    let Ok(content) = String::from_utf8(bytes) else { return Ok(()) };
    let parsed = parse(&content, None);
    let (Some(_), Some(format)) = (parsed.diagram.filter(|it| !it.nodes.is_empty()), parsed.format) else {
        return Ok(());
    };
    may_run(app, caller, None)?;
    let new = NewRevision {
        diagram_id: name_of(shown),
        source: Source { sha256: sha256(&content), format: format.name().to_owned(), content },
        message: Some("uploaded".to_owned()),
        author: Some(caller.by()),
        submitted: true,
    };
    app.store()?.save_revision(new).await.map(drop)
}

/// Gives what is there a second name, `<stem>.<unix>.backup<suffix>`; the file is never missing meanwhile.
fn keep_before(app: &App, place: &Path, shown: &str) -> Result<Option<String>, Error> {
    if !place.is_file() {
        return Ok(None);
    }
    let text = |it: Option<&OsStr>| it.unwrap_or_default().to_string_lossy().into_owned();
    let (stem, extension) = (text(place.file_stem()), text(place.extension()));
    let suffix = if extension.is_empty() { String::new() } else { format!(".{extension}") };
    let now = app.clock.now().0 / 1_000;
    for nth in 0..BACKUPS_MAX {
        let again = if nth == 0 { String::new() } else { format!("-{nth}") };
        let name = format!("{stem}.{now}{again}.backup{suffix}");
        let backup = place.with_file_name(&name);
        match fs::hard_link(place, &backup) {
            Ok(()) => return Ok(Some(Path::new(shown).with_file_name(name).display().to_string())),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(shown, error)),
        }
    }
    Err(Error::conflict("ALREADY_EXISTS", format!("`{shown}` was replaced too often within one second"))
        .hint("wait a moment and send it again"))
}

fn failed(shown: &str, error: io::Error) -> Error {
    Error::external("FILE_FAILED", format!("cannot write `{shown}`: {}", error.kind()))
        .hint("look at the rights of the folder and at the free space")
        .source(error)
}
