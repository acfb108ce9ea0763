//! The protocol's methods. Each is a few lines: ask the module that knows, add cache hints and the server's
//! name, answer. What is asked stands behind a box: the library moves one future for all methods, as large as the largest. Legacy and modern clients get the same; the library translates what differs.

use std::sync::{Arc, LazyLock};

use axum::http::request::Parts;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CancelTaskParams, CompleteRequestParams, CompleteResult, CustomRequest,
    CustomResult, DiscoverResult, Extensions, GetPromptRequestParams, GetPromptResponse, GetTaskParams, GetTaskResult,
    Implementation, ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, MetaObject,
    PaginatedRequestParams, ProtocolVersion, ReadResourceRequestParams, ReadResourceResponse, ServerCapabilities,
    ServerConfig, SubscribeRequestParams, SubscriptionFilter, Tool, UnsubscribeRequestParams, UpdateTaskParams,
};
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::paging::page;
use super::questions::Retry;
use super::resources::{FIXED, LISTS, TOOLS};
use super::subscriptions::{self, Session};
use super::tools::{self, ToolName};
use super::{by_name, calls, diagram_tools, misread, prompts, resources, tasks};
use crate::config::{Tasks, Toolset};
use crate::handlers::caller::{Door, Identity};
use crate::handlers::diagram_tools::Catalog;
use crate::handlers::{self, App, Caller};
use crate::nearest::nearest;

/// What a client reads about this server before it uses it.
pub const INSTRUCTIONS: &str = include_str!("../../resources/instructions.md");

static SERVER_INFO: LazyLock<Value> =
    LazyLock::new(|| json!({"name": env!("CARGO_PKG_NAME"), "title": "DiPeO", "version": env!("CARGO_PKG_VERSION")}));

/// Serves MCP clients from one application; a clone is cheap.
#[derive(Clone)]
pub struct McpServer {
    app: Arc<App>,
    stop: CancellationToken,
    open_calls: TaskTracker,
    session: Session,
}

impl McpServer {
    /// Makes a server whose waits end when `stop` is cancelled.
    pub fn new(app: Arc<App>, stop: CancellationToken) -> Self {
        Self { app, stop, open_calls: TaskTracker::new(), session: Session::default() }
    }

    /// Tool calls that are being carried out, whether or not anybody still waits for their answers.
    pub(super) fn open_calls(&self) -> &TaskTracker {
        &self.open_calls
    }

    pub(super) fn app(&self) -> &App {
        &self.app
    }

    pub(super) fn shared_app(&self) -> &Arc<App> {
        &self.app
    }

    /// Who makes a request: whom the HTTP server recognised, else the owner of the database. Nothing about it is
    /// remembered between requests.
    pub(super) fn caller(&self, context: &RequestContext<RoleServer>) -> Caller {
        self.caller_of(identity(&context.extensions))
    }

    /// As [`McpServer::caller`], for what is no request: whom the HTTP server recognised, if anybody.
    pub(super) fn caller_of(&self, identity: Option<Identity>) -> Caller {
        let identity = identity.unwrap_or_else(Identity::owner).limited_to(self.app.client_scopes());
        Caller::client(identity, Door::Mcp)
    }

    /// The tools that are no diagrams, unless this server was told to leave them out.
    fn own_tools(&self) -> &'static [ToolName] {
        if self.app.config.mcp.has(Toolset::Core) { &tools::ALL } else { &[] }
    }

    /// The diagrams that are tools for whoever makes a request.
    fn catalog(&self, context: &RequestContext<RoleServer>) -> Result<Catalog, ErrorData> {
        let found = handlers::diagram_tools::diagram_tools(&self.app, &self.caller(context));
        found.map_err(|error| resources::protocol_error(&error))
    }

    pub(super) fn stop(&self) -> &CancellationToken {
        &self.stop
    }
}

fn identity(extensions: &Extensions) -> Option<Identity> {
    extensions.get::<Parts>()?.extensions.get::<Identity>().cloned()
}

/// Names and describes this server.
pub(super) fn implementation() -> Implementation {
    Implementation::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .with_title("DiPeO")
        .with_description(env!("CARGO_PKG_DESCRIPTION"))
}

/// What this server can do, extensions included; the manifest says the same.
pub(super) fn capabilities(tasks: Tasks) -> ServerCapabilities {
    let capabilities = ServerCapabilities::builder()
        .enable_extensions_with(super::app_page::extensions())
        .enable_tools()
        .enable_tool_list_changed()
        .enable_resources()
        .enable_resources_list_changed()
        .enable_resources_subscribe()
        .enable_prompts()
        .enable_completions();
    match tasks {
        Tasks::Auto => capabilities.enable_tasks().build(),
        Tasks::Off => capabilities.build(),
    }
}

/// Puts the server's name into a result of a modern request, which has no handshake to learn it from.
fn stamp(meta: &mut Option<MetaObject>, context: &RequestContext<RoleServer>) {
    if context.meta.protocol_version().is_some_and(|it| it >= ProtocolVersion::V_2026_07_28) {
        let meta = meta.get_or_insert_with(MetaObject::new);
        meta.insert("io.modelcontextprotocol/serverInfo".to_owned(), SERVER_INFO.clone());
    }
}

/// Whether the HTTP server asked who the caller is: then a list may differ from the next one's.
fn is_known(context: &RequestContext<RoleServer>) -> bool {
    context.extensions.get::<Parts>().is_some_and(|it| it.extensions.get::<Identity>().is_some())
}

fn cursor(request: Option<&PaginatedRequestParams>) -> Option<&str> {
    request.and_then(|it| it.cursor.as_deref())
}

/// Fills a list's page, cursor, cache hints and stamp; the list types of the library share their fields
/// but no trait.
macro_rules! list_result {
    ($kind:ident, $field:ident, $items:expr, $request:expr, $hints:expr, $context:expr) => {{
        let (items, next) = page($items, cursor($request.as_ref()))?;
        let (ttl_ms, scope) = $hints;
        let mut result = $kind::with_all_items(items).with_ttl_ms(ttl_ms).with_cache_scope(scope);
        result.next_cursor = next;
        stamp(&mut result.meta, &$context);
        Ok(result)
    }};
}

impl ServerHandler for McpServer {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(capabilities(self.app.config.mcp.tasks))
            .with_server_info(implementation())
            .with_instructions(INSTRUCTIONS.trim_end())
    }

    async fn discover(&self, _: RequestContext<RoleServer>) -> Result<DiscoverResult, ErrorData> {
        let versions = self.supported_protocol_versions().into_owned();
        let (ttl_ms, scope) = FIXED;
        Ok(DiscoverResult::from_server_info(versions, self.get_info()).with_ttl_ms(ttl_ms).with_cache_scope(scope))
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let caller = self.caller(&context);
        let catalog = self.catalog(&context)?;
        let all = diagram_tools::listed(&self.app, &caller, &catalog);
        let is_fixed = catalog.tools.is_empty() && !is_known(&context);
        list_result!(ListToolsResult, tools, &all, request, if is_fixed { FIXED } else { TOOLS }, context)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        // Asked for properties that are mirrored into headers; tools made from diagrams have none.
        ToolName::parse(name).map(|it| it.definition().clone())
    }

    async fn call_tool(
        &self,
        mut request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let retry = Retry::of(&mut request);
        let mut arguments = request.arguments.unwrap_or_default();
        let own = self.own_tools();
        let tool = match own.iter().find(|it| it.name() == request.name) {
            Some(tool) => *tool,
            None => {
                let catalog = self.catalog(&context)?;
                let tool = catalog.find(&request.name).ok_or_else(|| unknown_tool(&request.name, own, &catalog))?;
                arguments = diagram_tools::as_run(tool, arguments);
                ToolName::DipeoRun
            }
        };
        let mut response = calls::call(self, tool, arguments, retry, &context).await?;
        match &mut response {
            CallToolResponse::Complete(result) => stamp(&mut result.meta, &context),
            CallToolResponse::InputRequired(result) => stamp(&mut result.meta, &context),
            CallToolResponse::Task(result) => stamp(&mut result.meta, &context),
            // The library may know more kinds than we make.
            _ => {}
        }
        Ok(response)
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let all = Box::pin(resources::list(&self.app, &self.caller(&context)))
            .await
            .map_err(|error| resources::protocol_error(&error))?;
        list_result!(ListResourcesResult, resources, &all, request, LISTS, context)
    }

    async fn list_resource_templates(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let all = resources::templates();
        list_result!(ListResourceTemplatesResult, resource_templates, &all, request, FIXED, context)
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let mut result = Box::pin(resources::read(&self.app, &self.caller(&context), &request.uri)).await?;
        stamp(&mut result.meta, &context);
        Ok(result.into())
    }

    async fn list_prompts(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let all = prompts::all();
        list_result!(ListPromptsResult, prompts, &all, request, FIXED, context)
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let mut result = prompts::get(&request.name, &request.arguments.unwrap_or_default())?;
        stamp(&mut result.meta, &context);
        Ok(result.into())
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let completion = Box::pin(resources::complete(&self.app, &self.caller(&context), &request)).await?;
        let mut result = CompleteResult::new(completion);
        stamp(&mut result.meta, &context);
        Ok(result)
    }

    /// Requests of a method nobody knows, and those whose parameters the library could not read.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        if let Some(answer) = Box::pin(by_name::answer(self, &request, &context)).await {
            return Ok(CustomResult(answer));
        }
        Err(misread::request(&request, self.get_info().capabilities.supports_tasks()))
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(subscriptions::accepted(requested))
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        Box::pin(subscriptions::listen(self, context)).await
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        let mut result = tasks::get(self, &context, &request.task_id)?;
        stamp(&mut result.meta, &context);
        Ok(result)
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Box::pin(tasks::update(self, &context, &request.task_id, &request.input_responses)).await
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Box::pin(tasks::cancel(self, &context, &request.task_id)).await
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        let caller = self.caller_of(identity(&context.extensions));
        self.session.begin(self, &caller, &context.peer);
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let outcome = self.session.subscribe(self, &self.caller(&context), &context.peer, &request.uri);
        outcome.map_err(|error| resources::protocol_error(&error))
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.session.unsubscribe(&request.uri);
        Ok(())
    }
}

fn unknown_tool(name: &str, own: &[ToolName], catalog: &Catalog) -> ErrorData {
    let shown: String = name.chars().take(80).collect();
    let of_diagrams = catalog.listed().iter().map(|it| it.name.as_str());
    let mut names: Vec<&str> = own.iter().map(|it| it.name()).collect();
    names.extend(of_diagrams);
    let mut data = json!({"code": "TOOL_NOT_FOUND", "tools": names});
    if let Some(near) = nearest(name, names.iter().copied()) {
        data["hint"] = format!("did you mean `{near}`?").into();
    }
    ErrorData::invalid_params(format!("no tool `{shown}`; tools: {}", names.join(", ")), Some(data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::tests::app;

    #[test]
    fn instructions_and_discovery_keep_their_size() {
        assert!(INSTRUCTIONS.trim_end().chars().count() <= 600);
        let (_folder, app) = app();
        let server = McpServer::new(app, CancellationToken::new());
        let versions = server.supported_protocol_versions().into_owned();
        let discovered = DiscoverResult::from_server_info(versions, server.get_info());
        let size_bytes = serde_json::to_string(&discovered).expect("JSON").len();
        assert!(size_bytes <= 2_048, "discover has {size_bytes} bytes");
    }

    #[test]
    fn an_unknown_tool_names_the_nearest() {
        let error = unknown_tool("dipeo_rnu", &tools::ALL, &Catalog::default());
        assert_eq!(error.code.0, -32602);
        assert!(error.message.starts_with("no tool `dipeo_rnu`; tools: dipeo_run, see_result"));
        assert_eq!(error.data.expect("data")["hint"], "did you mean `dipeo_run`?");
    }
}
