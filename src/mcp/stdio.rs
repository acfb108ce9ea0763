//! MCP on standard input and output: one JSON message per line, and nothing else on standard output.

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{ClientJsonRpcMessage, ClientRequest, GetMeta, ProtocolVersion};
use rmcp::service::{RxJsonRpcMessage, ServerInitializeError, TxJsonRpcMessage, serve_server_with_ct};
use rmcp::transport::Transport;
use rmcp::transport::io::stdio_pipes;
use rmcp::{RoleServer, service::QuitReason};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::lines::Lines;
use super::server::McpServer;
use super::subscriptions;
use crate::error::Error;
use crate::handlers::App;

/// How long calls may go on after the conversation has ended; clients kill a server that takes longer.
const LAST_CALLS: Duration = Duration::from_secs(1);

/// Serves one client on standard input and output until its input ends or `stop` is cancelled.
///
/// Calls that wait then answer at once with what is there; their executions go on.
///
/// # Errors
///
/// `INTERNAL` when the protocol loop broke.
pub async fn serve(app: Arc<App>, stop: CancellationToken) -> Result<(), Error> {
    let (ended, end) = oneshot::channel();
    let conversation = move || {
        // Nobody waits any more when the program is told twice to stop.
        let _ = ended.send(converse(app, stop));
    };
    let broken = |what: &str, source| Err(Error::internal(what.to_owned()).source(source));
    if let Err(error) = std::thread::Builder::new().name("mcp-stdio".to_owned()).spawn(conversation) {
        return broken("the system gives no thread for the conversation", error);
    }
    end.await.unwrap_or_else(|error| broken("the conversation broke off", std::io::Error::other(error)))
}

/// The whole conversation on this one thread. A call goes through several tasks; to wake another thread for each
/// of them costs more than most calls. What a call starts and leaves behind runs where the application lives.
fn converse(app: Arc<App>, stop: CancellationToken) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::internal("the conversation could not begin").source(error))?;
    let outcome = runtime.block_on(async {
        let (input, output) = stdio_pipes();
        serve_streams(app, input, output, stop).await
    });
    // A read of a file that still waits may not hold the end up.
    runtime.shutdown_background();
    outcome
}

/// [`serve`] on any pair of streams.
///
/// # Errors
///
/// `INTERNAL` when the protocol loop broke.
pub async fn serve_streams<R, W>(app: Arc<App>, input: R, output: W, stop: CancellationToken) -> Result<(), Error>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let ended = stop.child_token();
    let server = McpServer::new(app, ended.clone());
    let open_calls = server.open_calls().clone();
    let transport = ClientStream {
        inner: Lines::new(input, output),
        server: server.clone(),
        ended: ended.clone(),
        has_begun: false,
    };
    match serve_server_with_ct(server, transport, stop).await {
        Ok(running) => {
            let quit = running.waiting().await;
            // Calls that nobody waits for still need the database. Their waits have ended.
            ended.cancel();
            open_calls.close();
            if tokio::time::timeout(LAST_CALLS, open_calls.wait()).await.is_err() {
                tracing::warn!("{} calls were still being carried out at the end", open_calls.len());
            }
            match quit {
                Ok(QuitReason::JoinError(error)) | Err(error) => {
                    Err(Error::internal("the protocol loop broke").source(error))
                }
                Ok(_) => Ok(()),
            }
        }
        // The client left, or we were told to stop, before there was a conversation.
        Err(ServerInitializeError::ConnectionClosed(_) | ServerInitializeError::Cancelled) => Ok(()),
        Err(error) => Err(Error::internal("the conversation could not begin").source(error)),
    }
}

/// The client's messages, with three differences to the plain stream: what is no request is dropped until a
/// conversation has begun (the library ends the process on it), the end of input ends every wait
/// (the library gives calls 5 seconds to finish), and subscriptions ask only for what there is to follow.
struct ClientStream<T> {
    inner: T,
    server: McpServer,
    ended: CancellationToken,
    has_begun: bool,
}

impl<T: Transport<RoleServer>> Transport<RoleServer> for ClientStream<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.inner.send(item)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            let Some(mut message) = self.inner.receive().await else {
                self.ended.cancel();
                return None;
            };
            match &mut message {
                ClientJsonRpcMessage::Request(request) => {
                    self.has_begun |= begins(&request.request);
                    if let ClientRequest::SubscriptionsListenRequest(listen) = &mut request.request {
                        let caller = self.server.caller_of(None);
                        subscriptions::narrow(self.server.app(), &caller, &mut listen.params.notifications);
                    }
                }
                _ if !self.has_begun => continue,
                _ => {}
            }
            return Some(message);
        }
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.inner.close().await
    }
}

/// Says whether the library leaves its opening phase with this request: `ping`, `server/discover` and
/// requests it must refuse are answered without a conversation.
fn begins(request: &ClientRequest) -> bool {
    match request {
        ClientRequest::InitializeRequest(_) => true,
        ClientRequest::PingRequest(_) | ClientRequest::DiscoverRequest(_) => false,
        other => {
            let meta = other.get_meta();
            meta.missing_required_keys(&ProtocolVersion::V_2026_07_28).is_empty()
                && meta.protocol_version().is_some_and(|it| ProtocolVersion::KNOWN_VERSIONS.contains(&it))
        }
    }
}
