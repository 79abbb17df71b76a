-- Images: names to digests. Touched by corten.images only.

CREATE TABLE manifests (
    digest     TEXT PRIMARY KEY,
    media_type TEXT NOT NULL,
    size       INTEGER NOT NULL,
    image_id   TEXT NOT NULL,
    blobs      TEXT NOT NULL            -- JSON array: the config's and the layers' digests
) STRICT;
CREATE INDEX manifests_by_image ON manifests (image_id);

CREATE TABLE images (
    id     TEXT PRIMARY KEY,            -- digest of the config
    record BLOB NOT NULL                -- JSON, images/catalog.py
) STRICT;

-- An image is a tenant's while it has a row here, with or without a name.
CREATE TABLE image_owners (
    tenant   TEXT NOT NULL,
    image_id TEXT NOT NULL REFERENCES images (id),
    manifest TEXT NOT NULL REFERENCES manifests (digest),
    PRIMARY KEY (tenant, image_id)
) STRICT;
CREATE INDEX image_owners_by_image ON image_owners (image_id);

CREATE TABLE image_names (
    tenant   TEXT NOT NULL,
    name     TEXT NOT NULL,             -- canonical, with a tag or with a digest
    by_digest INTEGER NOT NULL,         -- 1: repository@digest
    target   TEXT NOT NULL,             -- digest as it was pulled: of an index or a manifest
    manifest TEXT NOT NULL REFERENCES manifests (digest),
    image_id TEXT NOT NULL,
    PRIMARY KEY (tenant, name),
    FOREIGN KEY (tenant, image_id) REFERENCES image_owners (tenant, image_id)
) STRICT;
CREATE INDEX image_names_by_image ON image_names (tenant, image_id);

-- Content that a pull needs before a name does. A lease that a crash left lets a retry go on
-- where it was; it expires.
CREATE TABLE leases (
    id         TEXT PRIMARY KEY,
    tenant     TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE lease_blobs (
    lease  TEXT NOT NULL REFERENCES leases (id) ON DELETE CASCADE,
    digest TEXT NOT NULL,
    PRIMARY KEY (lease, digest)
) STRICT;
