//! The tables, and how an older database becomes a present one.
//!
//! The statements are those that SQLite and PostgreSQL have in common: each is only ever appended to the list. A database
//! says in `meta` how many it has seen. A replica of the version before goes on working beside one that migrated: a
//! migration only adds. `TEXT` is the type, and nothing else: PostgreSQL has it in the order of bytes, as SQLite does.

/// Each takes a database from the format that is its index to the next.
pub(super) const MIGRATIONS: [&str; 2] = [
    "
    CREATE TABLE meta (
        key    TEXT PRIMARY KEY,
        value  BIGINT NOT NULL
    );
    CREATE TABLE resources (
        id            TEXT PRIMARY KEY,
        kind          TEXT NOT NULL,
        organization  TEXT NOT NULL,
        name          TEXT NOT NULL,
        document      TEXT NOT NULL,
        UNIQUE (kind, organization, name)
    );
    CREATE TABLE changes (
        version       BIGINT PRIMARY KEY,
        organization  TEXT NOT NULL,
        change        TEXT NOT NULL
    );
    CREATE TABLE audit (
        sequence      BIGINT PRIMARY KEY,
        organization  TEXT NOT NULL,   -- empty: of the whole server
        line          TEXT NOT NULL
    );
    CREATE INDEX audit_by_organization ON audit (organization, sequence);
    CREATE TABLE records (
        space       TEXT NOT NULL,
        key         TEXT NOT NULL,
        value       TEXT NOT NULL,
        expires_at  BIGINT,            -- milliseconds since 1970
        PRIMARY KEY (space, key)
    );
    CREATE INDEX records_by_end ON records (expires_at);
    INSERT INTO meta (key, value) VALUES ('version', 0), ('changes_from', 0);
",
    "
    CREATE TABLE synced (
        organization  TEXT NOT NULL,
        key           TEXT NOT NULL,
        version       BIGINT NOT NULL,
        gone_at       BIGINT,            -- milliseconds since 1970: nobody has it any more
        sealed        TEXT NOT NULL,     -- which secrets its runner was last told of
        stored        TEXT NOT NULL,
        PRIMARY KEY (organization, key)
    );
    CREATE INDEX synced_by_version ON synced (version);
    CREATE INDEX synced_by_end ON synced (gone_at);
    CREATE TABLE concerned (
        organization  TEXT NOT NULL,
        runner        TEXT NOT NULL,
        key           TEXT NOT NULL,
        PRIMARY KEY (organization, runner, key)
    );
    CREATE INDEX concerned_by_key ON concerned (organization, key);
",
];
