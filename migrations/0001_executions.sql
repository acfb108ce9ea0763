-- The first schema. A database of the original program gets it too: its rows are copied over.

-- The guide's tables: names, columns, order, types and indexes are promised to their readers. Our columns
-- stand after theirs.

CREATE TABLE executions (
    execution_id TEXT PRIMARY KEY,
    status TEXT NOT NULL,
    diagram_id TEXT,
    started_at TEXT NOT NULL,
    ended_at TEXT,
    node_states TEXT NOT NULL,
    node_outputs TEXT NOT NULL,
    llm_usage TEXT NOT NULL,
    error TEXT,
    variables TEXT NOT NULL,
    exec_counts TEXT NOT NULL DEFAULT '{}',
    executed_nodes TEXT NOT NULL DEFAULT '[]',
    metrics TEXT,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    access_count INTEGER DEFAULT 0,
    last_accessed TIMESTAMP DEFAULT CURRENT_TIMESTAMP,

    -- Ours.
    kind TEXT NOT NULL DEFAULT 'run',
    origin TEXT,
    mode TEXT,
    source_sha256 TEXT,
    revision INTEGER,
    pause_reason TEXT,
    error_code TEXT,
    parent_execution_id TEXT,
    parent_relation TEXT,
    trigger_id TEXT,
    experiment_id TEXT,
    variant TEXT,
    principal TEXT,
    owner TEXT,
    deadline_at TEXT,
    idempotency_key TEXT,
    last_seq INTEGER NOT NULL DEFAULT 0,
    last_activity_at TEXT,
    -- What the diagram may do and how it was asked to run, both JSON: whoever takes the execution over needs them.
    rights TEXT,
    options TEXT,
    -- Tells a repeated request from another one under the same idempotency key.
    request_hash TEXT
);

CREATE TABLE transitions (
    id TEXT PRIMARY KEY,
    execution_id TEXT NOT NULL,
    node_id TEXT,
    phase TEXT NOT NULL,
    seq INTEGER NOT NULL,
    payload TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT (datetime('now'))
);

CREATE TABLE messages (
    id TEXT PRIMARY KEY,
    execution_id TEXT NOT NULL,
    node_id TEXT NOT NULL,
    person_id TEXT,
    content TEXT NOT NULL,
    token_count INTEGER,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,

    -- Ours: the order within the execution.
    seq INTEGER
);

CREATE INDEX idx_status ON executions(status);
CREATE INDEX idx_started_at ON executions(started_at);
CREATE INDEX idx_diagram_id ON executions(diagram_id);
CREATE INDEX idx_access_count ON executions(access_count DESC);
CREATE INDEX idx_last_accessed ON executions(last_accessed DESC);
CREATE UNIQUE INDEX ux_exec_seq ON transitions(execution_id, seq);
CREATE INDEX idx_exec_transitions ON transitions(execution_id);
CREATE INDEX idx_created_at ON transitions(created_at DESC);
CREATE INDEX idx_execution ON messages(execution_id);
CREATE INDEX idx_node ON messages(node_id);

-- Our indexes on them.

CREATE UNIQUE INDEX ux_idempotency ON executions(coalesce(principal, ''), idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX idx_parent ON executions(parent_execution_id) WHERE parent_execution_id IS NOT NULL;
CREATE INDEX idx_trigger ON executions(trigger_id) WHERE trigger_id IS NOT NULL;
CREATE INDEX idx_owner_open ON executions(owner) WHERE status NOT IN ('completed', 'failed', 'aborted');
-- Lists are newest first, of one status or one diagram: without these each would sort all it finds.
CREATE INDEX idx_status_started ON executions(status, started_at);
CREATE INDEX idx_diagram_started ON executions(diagram_id, started_at);
CREATE INDEX idx_messages_seq ON messages(execution_id, seq);

-- Our tables.

-- Texts that ran or were saved, once each.
CREATE TABLE sources (
    sha256 TEXT PRIMARY KEY,
    format TEXT NOT NULL,
    content TEXT NOT NULL
);

CREATE TABLE diagrams (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    principal TEXT,
    current_revision INTEGER NOT NULL,
    origin TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);

CREATE TABLE revisions (
    diagram_id TEXT NOT NULL REFERENCES diagrams(id),
    n INTEGER NOT NULL,
    sha256 TEXT NOT NULL REFERENCES sources(sha256),
    message TEXT,
    author TEXT,
    created_at TEXT NOT NULL,
    -- 1 when a client sent this text: whatever file holds it then is submitted until a person trusts it.
    submitted INTEGER NOT NULL DEFAULT 0,
    UNIQUE (diagram_id, n)
);
CREATE INDEX idx_revisions_submitted ON revisions(sha256) WHERE submitted = 1;

-- Processes that may own executions; an owner whose lease has run out counts as dead.
CREATE TABLE owners (
    owner TEXT PRIMARY KEY,
    pid INTEGER NOT NULL,
    host TEXT NOT NULL,
    kind TEXT NOT NULL,
    url TEXT,
    started_at TEXT NOT NULL,
    lease_expires_at TEXT NOT NULL
);

-- Requests to a running execution, carried out by its owner; pending until `applied_at` is set.
CREATE TABLE controls (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    execution_id TEXT NOT NULL,
    action TEXT NOT NULL,
    node TEXT,
    value TEXT,
    actor TEXT,
    created_at TEXT NOT NULL,
    applied_at TEXT,
    outcome TEXT
);
CREATE INDEX idx_controls_pending ON controls(execution_id) WHERE applied_at IS NULL;
