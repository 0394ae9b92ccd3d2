-- The knowledge store: the only truth. Times are ISO 8601 in UTC with microseconds, so text order is time order.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

INSERT INTO meta (name, value) VALUES ('index_generation', '0');

-- Only an active page has chunks: a duplicate is found under the page that is kept, a gone page not at all.
CREATE TABLE pages (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    url           TEXT    NOT NULL UNIQUE,
    fetched_url   TEXT    NOT NULL,
    site          TEXT    NOT NULL,
    title         TEXT    NOT NULL,
    markdown      TEXT    NOT NULL,
    content_hash  TEXT    NOT NULL,
    words         INTEGER NOT NULL,
    language      TEXT,
    author        TEXT,
    published_at  TEXT,
    fetched_at    TEXT    NOT NULL,
    etag          TEXT,
    last_modified TEXT,
    source        TEXT    NOT NULL,
    collection    TEXT    NOT NULL,
    status        TEXT    NOT NULL CHECK (status IN ('active', 'duplicate', 'gone')),
    duplicate_of  INTEGER REFERENCES pages (id),
    embedded      INTEGER NOT NULL DEFAULT 0,
    added_at      TEXT    NOT NULL,
    visits        INTEGER NOT NULL DEFAULT 0,
    changes       INTEGER NOT NULL DEFAULT 0,
    next_visit    TEXT,
    quality       REAL,
    quality_facts TEXT,
    CHECK ((status = 'duplicate') = (duplicate_of IS NOT NULL))
) STRICT;

CREATE INDEX pages_by_content ON pages (content_hash);
CREATE INDEX pages_by_fetched_url ON pages (fetched_url);
CREATE INDEX pages_by_site ON pages (site);
CREATE INDEX pages_by_time ON pages (fetched_at);
CREATE INDEX pages_by_kept_page ON pages (duplicate_of) WHERE duplicate_of IS NOT NULL;
CREATE INDEX pages_to_embed ON pages (id) WHERE embedded = 0;
CREATE INDEX pages_to_assess ON pages (id) WHERE quality IS NULL;
CREATE INDEX pages_to_visit ON pages (next_visit) WHERE next_visit IS NOT NULL;

-- A chunk's words never change: a change of the page makes new chunks, and what stayed the same keeps its row.
CREATE TABLE chunks (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    page_id    INTEGER NOT NULL REFERENCES pages (id),
    ordinal    INTEGER NOT NULL,
    start_char INTEGER NOT NULL,
    end_char   INTEGER NOT NULL,
    title      TEXT    NOT NULL,
    heading    TEXT    NOT NULL,
    body       TEXT    NOT NULL,
    text_hash  TEXT    NOT NULL
) STRICT;

CREATE INDEX chunks_by_page ON chunks (page_id, ordinal);

CREATE VIRTUAL TABLE chunk_words USING fts5 (
    title, heading, body,
    content = 'chunks', content_rowid = 'id',
    tokenize = 'porter unicode61 remove_diacritics 2'
);

CREATE VIRTUAL TABLE chunk_terms USING fts5vocab (chunk_words, 'row');

CREATE TRIGGER chunk_added AFTER INSERT ON chunks BEGIN
    INSERT INTO chunk_words (rowid, title, heading, body)
    VALUES (new.id, new.title, new.heading, new.body);
END;

CREATE TRIGGER chunk_removed AFTER DELETE ON chunks BEGIN
    INSERT INTO chunk_words (chunk_words, rowid, title, heading, body)
    VALUES ('delete', old.id, old.title, old.heading, old.body);
END;

-- Half precision, little endian, rows of length 1. One embedder at a time: its key is in meta.
CREATE TABLE vectors (
    chunk_id INTEGER PRIMARY KEY REFERENCES chunks (id) ON DELETE CASCADE,
    vector   BLOB NOT NULL
) STRICT;

CREATE TABLE links (
    page_id INTEGER NOT NULL REFERENCES pages (id) ON DELETE CASCADE,
    url     TEXT    NOT NULL,
    text    TEXT    NOT NULL,
    PRIMARY KEY (page_id, url)
) STRICT, WITHOUT ROWID;

CREATE INDEX links_by_url ON links (url);

CREATE TABLE crawls (
    id         TEXT PRIMARY KEY,
    task_id    TEXT NOT NULL,
    touched_at TEXT NOT NULL
) STRICT;

CREATE TABLE frontier (
    id       INTEGER PRIMARY KEY,
    crawl_id TEXT    NOT NULL REFERENCES crawls (id) ON DELETE CASCADE,
    key      TEXT    NOT NULL,
    url      TEXT    NOT NULL,
    depth    INTEGER NOT NULL,
    state    TEXT    NOT NULL DEFAULT 'pending'
             CHECK (state IN ('pending', 'leased', 'done', 'failed')),
    attempt  INTEGER,
    page_id  INTEGER REFERENCES pages (id) ON DELETE SET NULL,
    reason   TEXT,
    UNIQUE (crawl_id, key),
    CHECK ((state = 'leased') = (attempt IS NOT NULL))
) STRICT;

CREATE INDEX frontier_by_state ON frontier (crawl_id, state, depth, id);
CREATE INDEX frontier_by_url ON frontier (url);
CREATE INDEX frontier_by_page ON frontier (page_id) WHERE page_id IS NOT NULL;

CREATE TABLE uploads (
    id         TEXT PRIMARY KEY,
    filename   TEXT NOT NULL,
    media_type TEXT NOT NULL,
    data       BLOB NOT NULL,
    added_at   TEXT NOT NULL
) STRICT;

-- What was applied, so that it is applied once; and the highest attempt seen, so that an older one is refused.
CREATE TABLE writes (
    task_id    TEXT    NOT NULL,
    step       TEXT    NOT NULL,
    attempt    INTEGER NOT NULL,
    answer     TEXT    NOT NULL,
    applied_at TEXT    NOT NULL,
    PRIMARY KEY (task_id, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE fences (
    task_id   TEXT PRIMARY KEY,
    attempt   INTEGER NOT NULL,
    raised_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
