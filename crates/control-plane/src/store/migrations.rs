//! The tables, and how an older database becomes a present one.
//!
//! The statements are those that SQLite and PostgreSQL have in common: each is only ever appended to the list. A database
//! says in `meta` how many it has seen. A replica of the version before goes on working beside one that migrated: a
//! migration only adds. `TEXT` is the type, and nothing else: PostgreSQL has it in the order of bytes, as SQLite does.

/// Each takes a database from the format that is its index to the next.
pub(super) const MIGRATIONS: [&str; 1] = ["
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
"];
