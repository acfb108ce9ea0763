-- What nodes heard from outside: each call of an attempt and its reply, for replays. `seq` is the last event of the
-- transaction it came in, `n` its place there.
CREATE TABLE recordings (
    execution_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    n INTEGER NOT NULL,
    node_id TEXT NOT NULL,
    iteration INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    -- Empty, or `<index>.<attempt>` of an item of a batch.
    place TEXT NOT NULL,
    kind TEXT NOT NULL,
    -- Both as JSON text; a long one is in `recorded_texts`. A call without a reply was broken off.
    request TEXT,
    request_sha256 TEXT NOT NULL,
    reply TEXT,
    reply_sha256 TEXT,
    PRIMARY KEY (execution_id, seq, n)
) WITHOUT ROWID;
CREATE INDEX idx_recordings_request ON recordings(request_sha256) WHERE request IS NULL;
CREATE INDEX idx_recordings_reply ON recordings(reply_sha256) WHERE reply IS NULL AND reply_sha256 IS NOT NULL;

-- Long requests and replies, once each, by their content.
CREATE TABLE recorded_texts (
    sha256 TEXT PRIMARY KEY,
    content TEXT NOT NULL
) WITHOUT ROWID;

-- They go with the last recording that refers to them.
CREATE TRIGGER recorded_texts_unused AFTER DELETE ON recordings
WHEN old.request IS NULL OR (old.reply IS NULL AND old.reply_sha256 IS NOT NULL)
BEGIN
    DELETE FROM recorded_texts
     WHERE sha256 IN (old.request_sha256, old.reply_sha256)
       AND NOT EXISTS (SELECT 1 FROM recordings AS r WHERE r.request IS NULL AND r.request_sha256 = recorded_texts.sha256)
       AND NOT EXISTS (SELECT 1 FROM recordings AS r WHERE r.reply IS NULL AND r.reply_sha256 IS NOT NULL
                          AND r.reply_sha256 = recorded_texts.sha256);
END;
