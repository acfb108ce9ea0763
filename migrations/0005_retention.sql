-- A person may keep an execution for good: retention leaves it alone.
ALTER TABLE executions ADD COLUMN hold INTEGER NOT NULL DEFAULT 0;

-- Values too large to stand in several rows, once each, by the SHA-256 of their JSON text. Rows refer to them by
-- a string that begins with `@sha256:`.
CREATE TABLE large_values (
    sha256 TEXT PRIMARY KEY,
    content TEXT NOT NULL
);

-- Which execution refers to which large value or blob: what nobody refers to any more may be deleted.
CREATE TABLE content_uses (
    execution_id TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (execution_id, sha256)
) WITHOUT ROWID;
CREATE INDEX idx_content_uses ON content_uses(sha256);

-- Blobs of earlier versions: until now nothing said who uses them.
WITH holders AS MATERIALIZED (
    SELECT execution_id, payload FROM transitions WHERE instr(payload, '"blob":"') > 0
)
INSERT INTO content_uses (execution_id, sha256)
SELECT DISTINCT holders.execution_id, blobs.sha256 FROM blobs JOIN holders ON instr(holders.payload, blobs.sha256) > 0;

-- Deleting an execution must find all its rows without a scan.
CREATE INDEX idx_controls_execution ON controls(execution_id);

-- Lists leave out what other executions started. Of those there may be a thousand for each that is listed, and
-- these indexes, unlike the two they replace, hold none of them.
DROP INDEX idx_status_started;
DROP INDEX idx_diagram_started;
CREATE INDEX idx_listed ON executions(started_at) WHERE kind <> 'child';
CREATE INDEX idx_listed_status ON executions(status, started_at) WHERE kind <> 'child';
CREATE INDEX idx_listed_diagram ON executions(diagram_id, started_at) WHERE kind <> 'child';
CREATE INDEX idx_listed_principal ON executions(principal, status) WHERE kind <> 'child';
CREATE INDEX idx_listed_both ON executions(diagram_id, status, started_at) WHERE kind <> 'child';
