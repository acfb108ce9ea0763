//! GraphQL at `/graphql` (surface.md 5): queries and mutations by `POST`, subscriptions by WebSocket, a page to try
//! both by `GET`. Each field of a root type translates to one handler; nothing here decides anything else.
//!
//! | file | what it holds |
//! |---|---|
//! | `http`, `parameters`, `uploads` | a request: its content types, its fields, its files |
//! | `check`, `tokens` | limits on documents, before the library reads them |
//! | `answer`, `order` | errors and statuses; fields as they were asked for |
//! | `ws`, `message` | the protocol `graphql-transport-ws` |
//! | `page` | the page, offline and without scripts of others |
//! | `schema`, `types`, `queries`, `mutations`, `subscription` | the schema by subject |

mod answer;
mod caller;
mod check;
mod http;
mod message;
mod mutations;
mod order;
mod page;
mod parameters;
mod queries;
mod schema;
mod subscription;
mod tokens;
mod types;
mod uploads;
mod ws;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::schema::Lazy;
use crate::handlers::App;
use crate::limits;

pub use self::schema::sdl;

/// The path of [`routes`].
pub const ROUTES: &[&str] = &["/graphql"];
/// The files of its page, which is not there in production.
pub const PAGES: [&str; 2] = ["/graphql/page.js", "/graphql/page.css"];

/// Largest body: a file, and the operation that it is for.
const BODY_BYTES_MAX: usize = limits::UPLOAD_BYTES_MAX as usize + limits::GRAPHQL_MESSAGE_BYTES_MAX;

/// What all requests share.
struct Shared {
    app: Arc<App>,
    schema: Lazy,
    /// The page and the introspection are there.
    is_open: bool,
    /// Places for WebSockets.
    sockets: Arc<Semaphore>,
    /// Places for requests with files.
    uploads: Semaphore,
    /// Ends subscriptions with the server.
    stop: CancellationToken,
}

/// Serves `app` at `/graphql`; subscriptions end when `stop` is cancelled.
pub fn routes(app: Arc<App>, stop: CancellationToken) -> Router {
    let is_open = !app.config.is_production;
    let sockets = Arc::new(Semaphore::new(limits::GRAPHQL_SOCKETS_MAX));
    let uploads = Semaphore::new(limits::UPLOADS_MAX);
    let shared = Shared { schema: Lazy::new(Arc::clone(&app), is_open), is_open, app, sockets, uploads, stop };
    let router = Router::new()
        .route("/graphql", get(ws::or_page).post(http::post))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Arc::new(shared));
    if is_open { router.merge(page::routes()) } else { router }
}
