"""Layers from archives to directories, by a program of its own that reads hostile bytes.

``worker`` and what it imports (``tar``, ``source``, ``apply``, ``confine``) run in that program
and import as little as can be; ``client`` is the daemon's side.
"""
