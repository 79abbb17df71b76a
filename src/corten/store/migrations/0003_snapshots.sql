-- Layers and writable states. Touched by corten.snapshots only.

CREATE TABLE layers (
    snapshotter TEXT NOT NULL,
    chain_id    TEXT NOT NULL,
    parent      TEXT,                   -- chain id of the layer below; NULL for the lowest
    diff_id     TEXT NOT NULL,
    number      INTEGER NOT NULL,       -- the directory
    size        INTEGER NOT NULL,       -- bytes
    inodes      INTEGER NOT NULL,
    boot_id     TEXT NOT NULL,          -- of the commit; '' once the files are known to be on disk
    PRIMARY KEY (snapshotter, chain_id),
    FOREIGN KEY (snapshotter, parent) REFERENCES layers (snapshotter, chain_id)
) STRICT;

CREATE TABLE snapshots (
    snapshotter TEXT NOT NULL,
    key         TEXT NOT NULL,          -- its owner's: a container's id
    parent      TEXT,                   -- chain id; NULL on an empty root
    number      INTEGER NOT NULL,
    PRIMARY KEY (snapshotter, key),
    FOREIGN KEY (snapshotter, parent) REFERENCES layers (snapshotter, chain_id)
) STRICT;
