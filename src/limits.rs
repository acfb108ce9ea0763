//! Every fixed limit, with its unit and the reason for its value.

use std::time::Duration;

/// Largest diagram text, in bytes (diagnostic E104; diagrams.md 4.2).
pub const DIAGRAM_BYTES_MAX: usize = 1024 * 1024;
/// Deepest nesting of a diagram text (E104).
pub const DIAGRAM_DEPTH_MAX: usize = 64;
/// Most values in a diagram after aliases are expanded (E104).
pub const DIAGRAM_VALUES_MAX: usize = 10_000;
/// Most nodes in a diagram (E104).
pub const DIAGRAM_NODES_MAX: usize = 1_000;
/// Most connections in a diagram (E104).
pub const DIAGRAM_CONNECTIONS_MAX: usize = 5_000;

/// Node executions in one execution unless `settings.max_node_executions` says otherwise (diagrams.md 3.17).
pub const NODE_EXECUTIONS_DEFAULT: u32 = 1_000;
/// Executions of one node unless `settings.max_node_iterations` says otherwise (diagrams.md 3.17).
pub const NODE_ITERATIONS_DEFAULT: u32 = 100;
/// `max_iteration` of a person_job that does not give one (diagrams.md 2.3).
pub const PERSON_ITERATIONS_DEFAULT: u32 = 100;
/// Nodes of one execution that run at the same moment unless `settings.max_parallel` says otherwise.
pub const PARALLEL_DEFAULT: u32 = 20;

/// Executions above one another (diagrams.md 2.13).
pub const CHILD_DEPTH_MAX: u32 = 20;

/// Time limit of one attempt of a model call, in seconds (diagrams.md 2.0).
pub const MODEL_TIMEOUT_S: f64 = 120.0;
/// Time limit of one attempt of a code node, in seconds (diagrams.md 2.0).
pub const CODE_TIMEOUT_S: f64 = 30.0;
/// Running time of an execution started by `dipeo run` or `dipeo_run`, in seconds (surface.md 2.2).
pub const RUN_TIMEOUT_S: f64 = 300.0;

/// Most attempts of a node, whatever its `retry` says.
pub const ATTEMPTS_MAX: u32 = 20;
/// Longest pause between two attempts, in milliseconds (diagrams.md 2.0).
pub const RETRY_DELAY_MS_MAX: u64 = 30_000;

/// Longest source text of a code node or expression, in bytes: the interpreter's parser needs stack
/// in proportion to it (dependencies.md 2.5).
pub const CODE_BYTES_MAX: usize = 64 * 1024;
/// Longest TypeScript source that is outlined, in bytes: larger than any file written by hand, and its
/// tree still fits the memory of a worker.
pub const OUTLINE_BYTES_MAX: usize = 1024 * 1024;
/// Memory that one piece of sandboxed code may use, in bytes.
pub const CODE_MEMORY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most text one piece of code may print or return, in bytes.
pub const CODE_OUTPUT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Largest file a node reads or writes, in bytes.
pub const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Most files one glob may match.
pub const GLOB_FILES_MAX: usize = 1_000;
/// Largest file that a client uploads, in bytes (surface.md 4.2).
pub const UPLOAD_BYTES_MAX: u64 = 100 * 1024 * 1024;
/// Free space below which a disk counts as full, in bytes: an upload and its backup fit.
pub const DISK_FREE_BYTES_MIN: u64 = 2 * UPLOAD_BYTES_MAX;
/// Largest rendered template, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Largest answer to a request of a node, in bytes: what a file may hold.
pub const HTTP_REPLY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Largest answer of a model provider, in bytes; images come in it as text.
pub const MODEL_REPLY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most calls at once with one key: providers count requests per minute, and their limits begin low.
pub const MODEL_CALLS_PER_KEY_MAX: usize = 16;

/// How long an owner's lease is valid; it is renewed three times within that (surface.md 6.2).
pub const LEASE: Duration = Duration::from_secs(15);
/// How often an owner renews its lease.
pub const LEASE_RENEWAL: Duration = Duration::from_secs(5);
/// How often a server looks whether an owner on this machine died without a word: its executions go on within a
/// second or two instead of when its lease is over.
pub const DEAD_OWNER_LOOK: Duration = Duration::from_secs(1);
/// Longest delay until a process notices what another one committed (surface.md 6.3).
pub const FOREIGN_COMMIT_POLL: Duration = Duration::from_millis(200);
/// How long the detached owner process stays with nothing to do (surface.md 2.3).
pub const DRAIN_IDLE: Duration = Duration::from_secs(10);
/// Transactions that may wait for the writer thread; producers wait when it is full.
pub const WRITER_QUEUE: usize = 1_024;
/// Most queued transactions that share one commit (performance.md 5).
pub const WRITER_GROUP_MAX: usize = 512;

/// From what size on a value is stored apart and shared by all rows that have it, in bytes of JSON: two pages of
/// the database, so that what is spared is more than what referring to it costs.
pub const LARGE_VALUE_BYTES_MIN: usize = 8 * 1024;

/// Ended executions kept as they were shown, in bytes of memory: some thousands of small ones.
pub const FINISHED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Longest wait of one MCP tool call, in seconds: the usual client gives up after 60 (mcp.md 2.2).
pub const WAIT_SECONDS_MAX: u32 = 25;
/// Wait of `dipeo_run` and `control_execution` when the caller names none, in seconds.
pub const WAIT_SECONDS_DEFAULT: u32 = 20;
/// Characters of a result that a tool shows unless asked for more (mcp.md 9).
pub const RESULT_CHARS_DEFAULT: usize = 20_000;
/// Characters of a result that a tool shows at most (mcp.md 9).
pub const RESULT_CHARS_MAX: usize = 100_000;
/// Least number of characters a caller may ask for: what is always shown and one way on fit into it.
pub const RESULT_CHARS_MIN: usize = 1_000;
/// Characters of the result that `dipeo run` prints (surface.md 2.2).
pub const PRINTED_CHARS_MAX: usize = 4_000;
/// Largest body of a POST to `/mcp`, in bytes (surface.md 4.2).
pub const MCP_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Most connections of the HTTP server at once; more wait to be taken. A thousand open subscriptions fit well.
pub const CONNECTIONS_MAX: usize = 4_096;
/// Most headers of a request: several times what browsers and MCP clients send.
pub const HEADERS_MAX: usize = 64;
/// Largest head of a request, in bytes: a token of 16 KiB fits.
pub const HEADER_BYTES_MAX: usize = 32 * 1024;
/// How long a client may take to send the head of a request, or leave a connection without one.
pub const HEADER_TIME: Duration = Duration::from_secs(30);
/// How long a client may take to send the body of a request.
pub const BODY_TIME: Duration = Duration::from_secs(30);
/// Requests of all clients that may be under way at once (`limits.concurrent_requests`).
pub const CONCURRENT_REQUESTS: usize = 1_024;
/// Requests of one principal that may be under way at once (`limits.concurrent_per_principal`): a client with 200
/// runs may wait for all of them.
pub const CONCURRENT_PER_PRINCIPAL: usize = 256;
/// Streams of all clients that may be open at once (`limits.open_streams`).
pub const OPEN_STREAMS: usize = 4_096;
/// Streams of one principal that may be open at once (`limits.streams_per_principal`).
pub const STREAMS_PER_PRINCIPAL: usize = 1_024;
/// Requests that a principal may send in a minute (`limits.requests_per_minute`; platform.md 14).
pub const REQUESTS_PER_MINUTE: u32 = 1_000;
/// Legacy MCP sessions open at once; one ends after five idle minutes.
pub const SESSIONS_MAX: usize = 1_024;
/// Subscriptions that one principal may have open at once: each is a connection and a little memory, and a
/// thousand clients of one owner are a use that is measured.
pub const SUBSCRIPTIONS_PER_PRINCIPAL_MAX: usize = 2_000;
/// Resources that one subscription may follow.
pub const SUBSCRIBED_URIS_MAX: usize = 1_000;

/// Longest GraphQL document, in bytes: a diagram may stand in it as a text.
pub const GRAPHQL_DOCUMENT_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Most names, numbers, texts and signs of a GraphQL document.
pub const GRAPHQL_TOKENS_MAX: usize = 20_000;
/// Deepest nesting of brackets in a GraphQL document: the parser of the library goes as deep and no deeper.
pub const GRAPHQL_BRACKETS_MAX: usize = 64;
/// Fields inside one another in a GraphQL operation (surface.md 5).
pub const GRAPHQL_DEPTH_MAX: usize = 12;
/// Complexity of a GraphQL operation: fields, and 50 for each use case (surface.md 5).
pub const GRAPHQL_COMPLEXITY_MAX: usize = 5_000;
/// Largest message on a GraphQL WebSocket, in bytes: the largest document with as much in variables.
pub const GRAPHQL_MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// GraphQL WebSockets open at once.
pub const GRAPHQL_SOCKETS_MAX: usize = 1_024;
/// Operations open at once on one GraphQL WebSocket.
pub const GRAPHQL_OPERATIONS_PER_SOCKET_MAX: usize = 100;
/// Requests with files at once.
pub const UPLOADS_MAX: usize = 4;
/// Events of an execution that whoever follows it is handed from one look at the store: few, so that a thousand who
/// follow slowly hold little.
pub const FOLLOWED_EVENTS: usize = 64;
/// From how many bytes of payload on such a piece gets no further event; one event may be larger.
pub const FOLLOWED_BYTES: usize = 64 * 1024;
/// Rows of the log of all executions that whoever follows them passes over in one look.
pub const FOLLOWED_ROWS: usize = 1_024;
/// Least time between two looks of one who follows an execution where nothing happens, while others commit.
pub const FOLLOW_PAUSE: Duration = Duration::from_millis(10);

/// Streams of events, and sockets, that may be open at once (platform.md 6.1).
pub const EVENT_STREAMS_MAX: usize = 256;
/// Those of one principal, where clients say who they are (platform.md 6.1).
pub const EVENT_STREAMS_PER_PRINCIPAL: usize = 5;
/// Sockets that wait for the frame that says whose they are; they wait for ten seconds.
pub const UNNAMED_SOCKETS_MAX: usize = 64;
/// What one socket may follow: each is a look at the store per commit.
pub const TOPICS_PER_SOCKET_MAX: usize = 64;
/// Requests of one socket that may be under way at once.
pub const REQUESTS_PER_SOCKET_MAX: usize = 8;
/// Largest message that a socket takes, in bytes (platform.md 6.2).
pub const SOCKET_MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Requests more than were answered that one connection may have refused before it is slowed down: a client that
/// learns needs few.
pub const REFUSALS_FREE: u32 = 20;
/// How long each further refusal waits: what is sent without end as fast as it is refused costs others little.
pub const REFUSAL_PAUSE: Duration = Duration::from_millis(5);

/// Largest manifest of a provider, in bytes: an imported document of some hundred operations with its schemas.
pub const MANIFEST_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most values in a manifest after aliases are expanded.
pub const MANIFEST_VALUES_MAX: usize = 400_000;
/// Most operations of one manifest.
pub const MANIFEST_OPERATIONS_MAX: usize = 2_000;
/// Longest name of a provider, in bytes.
pub const PROVIDER_NAME_BYTES_MAX: usize = 64;
/// Largest OpenAPI document that is imported, in bytes.
pub const OPENAPI_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Time limit of one call of a provider that says nothing else, in seconds (surface.md 7).
pub const HTTP_TIMEOUT_S: f64 = 30.0;
