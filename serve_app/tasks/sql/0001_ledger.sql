-- Times are whole microseconds since 1970 (UTC); JSON is text. Plain types, so that PostgreSQL takes it too.
CREATE TABLE tasks (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    args TEXT NOT NULL,
    user_id TEXT NOT NULL,
    queue TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('queued', 'processing', 'completed', 'failed', 'cancelled')),
    created_at BIGINT NOT NULL,
    conversation_id TEXT,
    parent_id TEXT,
    idempotency_key TEXT,
    attempt INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    losses INTEGER NOT NULL,
    not_before BIGINT,
    started_at BIGINT,
    finished_at BIGINT,
    expires_at BIGINT,
    expired INTEGER NOT NULL,
    cancel_requested INTEGER NOT NULL,
    progress INTEGER NOT NULL,
    message TEXT NOT NULL,
    detail TEXT,
    counts TEXT NOT NULL,
    result TEXT,
    error TEXT,
    last_seq INTEGER NOT NULL
);
CREATE INDEX tasks_newest ON tasks (created_at, id);
CREATE INDEX tasks_of_user ON tasks (user_id, created_at, id);
CREATE INDEX tasks_unfinished ON tasks (created_at, id) WHERE status IN ('queued', 'processing');
CREATE INDEX tasks_to_expire ON tasks (expires_at) WHERE expires_at IS NOT NULL AND expired = 0;
CREATE INDEX tasks_finished ON tasks (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE events (
    task_id TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    type TEXT NOT NULL,
    data TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (task_id, seq)
);

CREATE TABLE idempotency_keys (
    user_id TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    task_id TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    PRIMARY KEY (user_id, idempotency_key)
);
CREATE INDEX idempotency_keys_of_task ON idempotency_keys (task_id);

CREATE TABLE queue_limits (
    queue TEXT PRIMARY KEY,
    at_once INTEGER NOT NULL CHECK (at_once >= 0)
);

-- `since`: firings up to then are settled; the next one due is the first after it.
CREATE TABLE schedules (
    name TEXT PRIMARY KEY,
    cron TEXT NOT NULL,
    kind TEXT NOT NULL,
    args TEXT NOT NULL,
    description TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    since BIGINT NOT NULL,
    last_fired_at BIGINT,
    last_task_id TEXT
);

CREATE TABLE fired (
    name TEXT NOT NULL,
    fire_at BIGINT NOT NULL,
    PRIMARY KEY (name, fire_at)
);

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL CHECK (role IN ('owner', 'member')),
    created_at BIGINT NOT NULL
);

-- `hash`: HMAC-SHA256 of the token under the home's secret; the token itself is kept nowhere.
CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT
);
CREATE INDEX tokens_of_user ON tokens (user_id);

CREATE TABLE conversations (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    title TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX conversations_of_user ON conversations (user_id, updated_at, id);

CREATE TABLE messages (
    conversation_id TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    n INTEGER NOT NULL,
    role TEXT NOT NULL,
    text TEXT NOT NULL,
    at BIGINT NOT NULL,
    task_id TEXT,
    extra TEXT NOT NULL,
    PRIMARY KEY (conversation_id, n)
);
