"""seccomp: Docker's default profile, resolution for a container, compilation, cache.

``default.resolve(capabilities)`` gives a runtime-spec ``linux.seccomp`` dictionary;
``cache.program_for(linux_seccomp)`` gives the :class:`~corten.oci.seccomp.cache.Program`
whose bytes :func:`corten.kernel.seccomp.load_filter` takes. A program that is in the cache
costs two system calls and no library.
"""
