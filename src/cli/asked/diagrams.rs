//! The use cases of diagrams, here or elsewhere. A file of this machine is sent as a text; a name is one of the
//! server's workspace.

use std::path::{Path, PathBuf};

use super::{Context, Remote};
use crate::error::Error;
use crate::handlers::{
    by_name, compile_diagram, diagram_revisions, diagram_stats, fetch, list_diagrams, read_diagram, run_diagram,
};
use crate::limits::DIAGRAM_BYTES_MAX;

impl Context<'_> {
    /// A run with the text of the file it names, when it names one of this machine.
    pub(super) fn with_its_text(
        &self,
        remote: &Remote,
        request: run_diagram::Request,
    ) -> Result<run_diagram::Request, Error> {
        let Some(path) = request.diagram.as_deref().and_then(|it| self.local_file(it)) else { return Ok(request) };
        let content = text_of(&path)?;
        if !self.quiet {
            let (name, address) = (path.display(), &remote.address);
            self.output.note(&format!("note: `{name}` is sent to {address}; it runs there with a client's rights"));
        }
        Ok(run_diagram::Request { diagram: None, content: Some(content), ..request })
    }

    /// The file of this machine that `name` names, if there is one.
    fn local_file(&self, name: &str) -> Option<PathBuf> {
        Some(self.working_dir.join(name)).filter(|it| it.is_file())
    }

    pub(in crate::cli) async fn list_diagrams(
        &self,
        request: list_diagrams::Request,
    ) -> Result<list_diagrams::Response, Error> {
        let here = list_diagrams::list_diagrams(self.app, &self.caller, request.clone());
        self.asked(by_name::LIST_DIAGRAMS, &request, here).await
    }

    pub(in crate::cli) async fn diagram_stats(
        &self,
        request: diagram_stats::Request,
    ) -> Result<diagram_stats::Response, Error> {
        if let (Some(_), Some(path)) = (&self.remote, self.local_file(&request.diagram)) {
            let message =
                format!("`{}` is a file of this machine, and a server counts its own diagrams", path.display());
            return Err(
                Error::invalid("INVALID_INPUT", message).hint("leave `--server` out, or name a diagram of the server")
            );
        }
        let here = diagram_stats::diagram_stats(self.app, &self.caller, request.clone());
        self.asked(by_name::DIAGRAM_STATS, &request, here).await
    }

    pub(in crate::cli) async fn diagram_revisions(
        &self,
        request: diagram_revisions::ListRequest,
    ) -> Result<diagram_revisions::ListResponse, Error> {
        let here = diagram_revisions::list(self.app, &self.caller, request.clone());
        self.asked(by_name::DIAGRAM_REVISIONS, &request, here).await
    }

    pub(in crate::cli) async fn restore_diagram(
        &self,
        request: diagram_revisions::RestoreRequest,
    ) -> Result<read_diagram::Response, Error> {
        let here = diagram_revisions::restore(self.app, &self.caller, request.clone(), Default::default());
        self.asked(by_name::RESTORE_DIAGRAM, &request, here).await
    }

    pub(in crate::cli) async fn compile_diagram(
        &self,
        request: compile_diagram::Request,
        extras: compile_diagram::Extras,
    ) -> Result<compile_diagram::Response, Error> {
        let Some(remote) = &self.remote else {
            return compile_diagram::compile_diagram(self.app, &self.caller, request, extras).await;
        };
        let compile_diagram::Extras { check_only, create_only, shown_as, target_dir, write_to, .. } = extras;
        let here = [("--target-dir", target_dir.is_some()), ("--write", write_to.is_some())];
        if let Some((flag, _)) = here.into_iter().find(|it| it.1) {
            return Err(Error::invalid("INVALID_INPUT", format!("`{flag}` names a place on this machine"))
                .hint("leave it out, or leave `--server` out"));
        }
        let compile = by_name::Compile { request, check_only, create_only, shown_as };
        let by_name::Compiled { response, rendered } = remote.response(by_name::COMPILE_DIAGRAM, &compile).await?;
        Ok(compile_diagram::Response { rendered, ..response })
    }

    /// The text of a diagram that is to be checked elsewhere, when this command asks a server: a file of this machine,
    /// else a diagram of the server.
    pub(in crate::cli) async fn remote_text(&self, diagram: &str) -> Result<Option<String>, Error> {
        let Some(remote) = &self.remote else { return Ok(None) };
        if let Some(path) = self.local_file(diagram) {
            return text_of(&path).map(Some);
        }
        let id =
            if diagram.starts_with("dipeo://") { diagram.to_owned() } else { format!("dipeo://diagrams/{diagram}") };
        let found: fetch::Response = remote.response(by_name::FETCH, &fetch::Request { id }).await?;
        Ok(Some(found.text))
    }
}

/// Reads a diagram that is to be sent.
fn text_of(path: &Path) -> Result<String, Error> {
    let size = std::fs::metadata(path).map_or(0, |it| it.len());
    if size > DIAGRAM_BYTES_MAX as u64 {
        return Err(Error::limit("TOO_LARGE", format!("`{}` has more than {DIAGRAM_BYTES_MAX} bytes", path.display()))
            .hint("keep data in files that nodes read"));
    }
    std::fs::read_to_string(path).map_err(|error| {
        Error::not_found("FILE_NOT_FOUND", format!("cannot read `{}`: {}", path.display(), error.kind()))
            .hint("give a file with UTF-8 text")
    })
}
