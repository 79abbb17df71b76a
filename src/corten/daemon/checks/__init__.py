"""``corten system check``: what this machine offers, found out by doing, without a daemon."""
