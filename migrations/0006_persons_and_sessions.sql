-- Persons that every diagram may name; a diagram's own person of that name wins.
CREATE TABLE persons (
    id TEXT PRIMARY KEY,
    label TEXT NOT NULL,
    -- Everything but the name, as JSON with the keys of a diagram.
    config TEXT NOT NULL,
    -- Whose it is; absent: everybody's.
    principal TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE UNIQUE INDEX ux_persons_label ON persons(coalesce(principal, ''), label);

-- Executions that a terminal, or a foreign runner, wants to be watched.
CREATE TABLE cli_sessions (
    execution_id TEXT PRIMARY KEY,
    principal TEXT,
    registered_at TEXT NOT NULL,
    -- Set when the registration was given back.
    ended_at TEXT
);
