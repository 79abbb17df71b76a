-- Tables of the networks. Touched by corten.networks only. Records are JSON
-- (networks/types.py); keyed columns are what SQL must keep unique or find by.

CREATE TABLE networks (
    id      TEXT PRIMARY KEY,
    tenant  TEXT NOT NULL,
    name    TEXT NOT NULL,
    cursor4 INTEGER NOT NULL DEFAULT 0, -- the address given last: the next search starts behind it
    record  BLOB NOT NULL,
    UNIQUE (tenant, name)
) STRICT;

-- Written before the interface exists, removed after it is gone.
CREATE TABLE endpoints (
    id             TEXT PRIMARY KEY,
    network_id     TEXT NOT NULL REFERENCES networks (id),
    container_id   TEXT NOT NULL,
    host_interface TEXT NOT NULL UNIQUE,
    ipv4           TEXT NOT NULL,
    ipv6           TEXT NOT NULL DEFAULT '',
    record         BLOB NOT NULL,
    UNIQUE (network_id, ipv4)
) STRICT;
CREATE INDEX endpoints_by_container ON endpoints (container_id);

-- Settings of the host that were changed, with what they were before.
CREATE TABLE host_settings (
    path     TEXT PRIMARY KEY,
    previous TEXT NOT NULL,
    value    TEXT NOT NULL
) STRICT;

-- Pods' networks by CNI: the configuration as it was used for ADD, and its cached result.
CREATE TABLE cni_attachments (
    pod_id     TEXT PRIMARY KEY,
    netns_path TEXT NOT NULL UNIQUE,
    added      INTEGER NOT NULL,        -- 0: written ahead, ADD has not succeeded (yet)
    record     BLOB NOT NULL
) STRICT;
