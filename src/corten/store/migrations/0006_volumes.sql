-- Volumes and who uses them. Touched by corten.engine only.

CREATE TABLE volumes (
    tenant TEXT NOT NULL,
    name   TEXT NOT NULL,
    ready  INTEGER NOT NULL,            -- 0 while it is being made or removed
    record BLOB NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT;

-- A volume with a row here can't be removed.
CREATE TABLE volume_uses (
    tenant       TEXT NOT NULL,
    name         TEXT NOT NULL,
    container_id TEXT NOT NULL REFERENCES containers (id) ON DELETE CASCADE,
    PRIMARY KEY (tenant, name, container_id),
    FOREIGN KEY (tenant, name) REFERENCES volumes (tenant, name)
) STRICT;
CREATE INDEX volume_uses_by_container ON volume_uses (container_id);
