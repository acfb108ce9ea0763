-- Where in its parent a child execution belongs: `<node id>:<iteration>`, with `:<index>` for an item of a batch.
-- A node that starts again after a crash finds its child by it.
ALTER TABLE executions ADD COLUMN parent_place TEXT;
CREATE INDEX idx_parent_place ON executions(parent_execution_id, parent_place) WHERE parent_place IS NOT NULL;

-- Bytes that values refer to (images, downloads), once each, by their content.
CREATE TABLE blobs (
    sha256 TEXT PRIMARY KEY,
    media_type TEXT NOT NULL,
    size INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    created_at TEXT NOT NULL
);
