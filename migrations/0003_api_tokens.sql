-- Tokens that clients show over HTTP. Only a digest is kept: a token is random, so nothing can be found by guessing.
CREATE TABLE api_tokens (
    id TEXT PRIMARY KEY,
    name TEXT,
    principal TEXT NOT NULL,
    scopes TEXT NOT NULL,
    sha256 TEXT NOT NULL UNIQUE,
    created_at TEXT NOT NULL,
    expires_at TEXT,
    last_used_at TEXT,
    revoked_at TEXT
);
