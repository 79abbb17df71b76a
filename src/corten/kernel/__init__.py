"""One function per system call, ioctl, netlink or prctl, and two C libraries; no policy.

Every function raises :class:`OSError` with the kernel's errno, the call's name in the text
and the path concerned as ``filename``. What ``os``, ``fcntl`` or ``_socket`` already offer
(``os.fork``, ``os.mkdir``, extended attributes, ``fcntl.flock``) is not wrapped again.

Modules, by what they speak of; import the module, not names from here:

``process``    clone3, pidfds, wait, exec, close_range, memfds, eventfds
``namespaces`` unshare, setns, host names, ioctls of namespace descriptors
``mounts``     mount, umount2, pivot_root and the descriptor based mount calls
``files``      openat2, statfs and its magic numbers, mknodat, writes that check procfs
``creds``      capabilities, ids, groups, keyring, prctl
``limits``     rlimits, scheduling, io priority, memory policy, personality
``pty``        terminals
``sockets``    descriptors over unix sockets
``netlink``    setting a link up
``seccomp``    loading a filter
``bpf``        device programs of cgroup v2
``libseccomp``, ``libnftables``   the libraries (never imported by what is forked per container)
"""
