//! The least a tool call can cost with this protocol library: a server with one tool `echo` that returns a
//! constant. This program is started again to be that server.

use std::process::Command;
use std::sync::Arc;

use axum::serve::ListenerExt;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ListToolsResult, PaginatedRequestParams,
    ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::transport::io::stdio_pipes;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt};
use serde_json::json;

use crate::Outcome;

const STDIO: &str = "bare-stdio";
const HTTP: &str = "bare-http";
/// The roles this program can be started in, as its first argument; the second is the size of the answer.
pub const ROLES: [&str; 2] = [STDIO, HTTP];

/// The command that starts the server on standard streams; its result has `result_bytes`.
pub fn stdio_command(result_bytes: usize) -> Outcome<Command> {
    command(STDIO, result_bytes)
}

/// The command that starts the server on a port of its choice, named on standard error.
pub fn http_command(result_bytes: usize) -> Outcome<Command> {
    command(HTTP, result_bytes)
}

fn command(role: &str, result_bytes: usize) -> Outcome<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(role).arg(result_bytes.to_string());
    Ok(command)
}

/// Serves until the input ends or the process is stopped.
pub async fn serve(role: &str, result_bytes: usize) -> Outcome<()> {
    let echo = Echo::new(result_bytes)?;
    if role == STDIO {
        echo.serve(stdio_pipes()).await?.waiting().await?;
        return Ok(());
    }
    let config = StreamableHttpServerConfig::default().with_json_response(true).with_legacy_session_mode(false);
    let service =
        StreamableHttpService::new(move || Ok(echo.clone()), Arc::new(LocalSessionManager::default()), config);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    eprintln!("http://{}/mcp", listener.local_addr()?);
    // Like ours: small answers go out at once.
    let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
    Ok(axum::serve(listener, axum::Router::new().route_service("/mcp", service)).await?)
}

#[derive(Clone)]
struct Echo {
    text: Arc<str>,
    tool: Arc<Tool>,
}

impl Echo {
    /// Answers with a result of as many bytes, as far as its frame allows.
    fn new(result_bytes: usize) -> Outcome<Self> {
        let frame_bytes = serde_json::to_string(&CallToolResult::success(vec![ContentBlock::text("")]))?.len();
        let text = "x".repeat(result_bytes.saturating_sub(frame_bytes)).into();
        let serde_json::Value::Object(schema) = json!({"type": "object"}) else { return Err("not a schema".into()) };
        Ok(Self { text, tool: Arc::new(Tool::new("echo", "Returns a constant.", schema)) })
    }
}

impl ServerHandler for Echo {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(vec![Tool::clone(&self.tool)]))
    }

    fn get_tool(&self, _: &str) -> Option<Tool> {
        Some(Tool::clone(&self.tool))
    }

    async fn call_tool(
        &self,
        _: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        Ok(CallToolResult::success(vec![ContentBlock::text(self.text.to_string())]).into())
    }
}
