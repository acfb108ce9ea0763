//! Raises or drops the rights of a submitted diagram. Only a person at the terminal may.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{App, Caller, compile_diagram};
use crate::compile::report::Capabilities;
use crate::config::{grants_path, sha256};
use crate::error::Error;

/// What to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Show what the diagram would be allowed to do.
    Inspect { diagram: String },
    /// Grant exactly this text full rights.
    Grant { diagram: String },
    /// Take a grant back.
    Revoke { diagram: String },
    /// Let the security keys of the workspace's `dipeo.toml` count, as the file is now.
    GrantConfig,
    /// Show all grants.
    List,
}

/// Grants as they are afterwards, and what the diagram would touch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub capabilities: Option<Capabilities>,
    /// SHA-256 of the text in question.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trusted: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub grants: Vec<Grant>,
}

/// One grant; it binds to the content, so any edit drops it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub sha256: String,
    /// What was trusted, as named then.
    pub name: String,
    pub granted_at: String,
}

/// Shows, grants or revokes.
///
/// # Errors
///
/// `DIAGRAM_NOT_FOUND`, `PERMISSION_REQUIRED` for a client.
pub async fn trust_diagram(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    let Caller::Terminal { working_dir } = caller else {
        return Err(Error::refused("PERMISSION_REQUIRED", "only a person at the terminal may trust a diagram")
            .hint("ask the person to run `dipeo trust NAME`"));
    };
    let user_dir = &app.config.user_dir;
    let mut grants = read_grants(user_dir);
    match request {
        Request::List => Ok(Response { capabilities: None, sha256: None, trusted: None, grants }),
        Request::Inspect { diagram } => describe(app, &diagram, working_dir, &grants).await,
        Request::Grant { diagram } => {
            let mut response = describe(app, &diagram, working_dir, &grants).await?;
            let sha256 = response.sha256.clone().unwrap_or_default();
            grant(app, user_dir, &mut grants, sha256, diagram)?;
            (response.trusted, response.grants) = (Some(true), grants);
            Ok(response)
        }
        Request::Revoke { diagram } => {
            let mut response = describe(app, &diagram, working_dir, &grants).await?;
            grants.retain(|it| Some(&it.sha256) != response.sha256.as_ref() && it.name != diagram);
            write_grants(user_dir, &grants)?;
            (response.trusted, response.grants) = (Some(false), grants);
            Ok(response)
        }
        Request::GrantConfig => {
            let path = app.config.workspace.join("dipeo.toml");
            let text = std::fs::read_to_string(&path).map_err(|e| {
                Error::not_found("FILE_NOT_FOUND", "the workspace has no dipeo.toml").hint("write one first").source(e)
            })?;
            let sha256 = sha256(&text);
            grant(app, user_dir, &mut grants, sha256.clone(), "dipeo.toml".into())?;
            Ok(Response { capabilities: None, sha256: Some(sha256), trusted: Some(true), grants })
        }
    }
}

async fn describe(app: &App, diagram: &str, working_dir: &Path, grants: &[Grant]) -> Result<Response, Error> {
    let source = app.workspace.open_typed(diagram, working_dir, None)?;
    let caller = Caller::Terminal { working_dir: working_dir.to_path_buf() };
    let request = compile_diagram::Request { content: source.text, ..Default::default() };
    let compiled = compile_diagram::compile_diagram(app, &caller, request, Default::default()).await?;
    let trusted = grants.iter().any(|it| it.sha256 == source.sha256);
    Ok(Response {
        capabilities: compiled.report.capabilities,
        sha256: Some(source.sha256),
        trusted: Some(trusted),
        grants: Vec::new(),
    })
}

fn grant(app: &App, user_dir: &Path, grants: &mut Vec<Grant>, sha256: String, name: String) -> Result<(), Error> {
    grants.retain(|it| it.sha256 != sha256);
    grants.push(Grant { sha256, name, granted_at: app.clock.now().to_rfc3339() });
    write_grants(user_dir, grants)
}

fn read_grants(user_dir: &Path) -> Vec<Grant> {
    let Ok(text) = std::fs::read_to_string(grants_path(user_dir)) else { return Vec::new() };
    serde_json::from_str(&text).unwrap_or_default()
}

fn write_grants(user_dir: &Path, grants: &[Grant]) -> Result<(), Error> {
    let path = grants_path(user_dir);
    let failed = |e: std::io::Error| {
        Error::external("FILE_FAILED", format!("cannot write `{}`: {}", path.display(), e.kind()))
            .hint("check the rights of the folder")
            .source(e)
    };
    std::fs::create_dir_all(user_dir).map_err(failed)?;
    let text =
        serde_json::to_string_pretty(grants).map_err(|e| Error::internal("grants cannot be written").source(e))?;
    let temporary = path.with_extension("json.new");
    std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, &path)).map_err(failed)
}
