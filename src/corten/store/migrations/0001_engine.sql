-- Tables of the engine: records are JSON (engine/types.py), keyed columns are what SQL must
-- keep unique or find by. Touched by corten.engine only.

CREATE TABLE containers (
    id       TEXT PRIMARY KEY,
    tenant   TEXT NOT NULL,
    name     TEXT NOT NULL,
    image_id TEXT NOT NULL,
    pod_id   TEXT REFERENCES pods (id),
    ready    INTEGER NOT NULL,          -- 0 while the create has an intent
    record   BLOB NOT NULL,
    UNIQUE (tenant, name)
) STRICT;
CREATE INDEX containers_by_pod ON containers (pod_id);
CREATE INDEX containers_by_image ON containers (image_id);

CREATE TABLE execs (
    id           TEXT PRIMARY KEY,
    container_id TEXT NOT NULL REFERENCES containers (id) ON DELETE CASCADE,
    record       BLOB NOT NULL
) STRICT;
CREATE INDEX execs_by_container ON execs (container_id);

CREATE TABLE pods (
    id     TEXT PRIMARY KEY,
    tenant TEXT NOT NULL,
    key    TEXT NOT NULL,               -- namespace, name, uid, attempt
    ready  INTEGER NOT NULL,
    record BLOB NOT NULL,
    UNIQUE (tenant, key)
) STRICT;

-- What has begun and is not known to have ended. Written before the first effect.
CREATE TABLE intents (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    kind        TEXT NOT NULL,          -- create, start, stop, remove, pod-run, …
    object_type TEXT NOT NULL,          -- container, pod, exec
    object_id   TEXT NOT NULL,
    tenant      TEXT NOT NULL,
    boot_id     TEXT NOT NULL,
    begun_at    INTEGER NOT NULL,
    data        TEXT NOT NULL           -- JSON
) STRICT;
CREATE INDEX intents_by_object ON intents (object_id);

CREATE TABLE events (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    time       INTEGER NOT NULL,        -- nanoseconds since the epoch
    monotonic  INTEGER NOT NULL,        -- nanoseconds since the boot
    boot_id    TEXT NOT NULL,
    tenant     TEXT NOT NULL,
    type       TEXT NOT NULL,
    action     TEXT NOT NULL,
    object_id  TEXT NOT NULL,
    attributes TEXT NOT NULL            -- JSON object of strings
) STRICT;
CREATE INDEX events_by_time ON events (time);
