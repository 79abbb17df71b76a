"""Containers' files, read and written by a program of their own: copies, changes, exports.

What a container has made is as hostile as a layer: names, links, devices, depths. So nothing of
it is opened in the daemon, and every name is resolved by descriptors below the container's root
(``openat2`` with ``RESOLVE_IN_ROOT``), never by string.
"""
