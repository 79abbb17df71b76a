"""Names to bytes: content store, registry client, unpacking, images from this machine."""
