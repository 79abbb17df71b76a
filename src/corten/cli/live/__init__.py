"""``corten top``: the full-screen view of what runs.

The terminal stays with the thin client, as with an attached container: it sets and gives back the
terminal's mode and its screen, whatever becomes of this side.
"""
