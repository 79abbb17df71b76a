"""A container as a plan: objects made and checked before the first system call.

``compile_plan`` turns a config.json into a :class:`Plan`. Nothing here has an effect on
the system; it may read the cache of seccomp filters. ``container.create`` executes it.
"""

from __future__ import annotations

from corten.spec._struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from corten.spec.mount import Mount


class PlanOptions(Struct):
    """What the caller decides, as opposed to the bundle.

    Fields:
        container_id: the id, for hooks' state and messages.
        host_mount_ns: descriptor of the host's mount namespace, of which the container's is
            a clone; -1: the caller's own.
        rootfs: where the root file system is mounted inside the container's own mount
            namespace; ``""`` takes ``root.path`` of the config (relative to the bundle).
            Any existing empty directory will do where ``rootfs_mounts`` are given.
        pivot: ``pivot_root``; False takes MS_MOVE and chroot (``--no-pivot``, ramdisks).
        new_keyring: a session keyring of its own (``--no-new-keyring`` is False).
        seccomp_cache: directory with compiled seccomp filters; ``""``: compile each time.
    """

    container_id: str
    host_mount_ns: int = -1
    rootfs: str = ""
    pivot: bool = True
    new_keyring: bool = True
    seccomp_cache: str = ""


class Plan(Struct):
    """Everything init does, in order. Immutable, made of data; safe to keep and to reuse."""

    options: PlanOptions
    bundle: str

    def describe(self) -> list[str]:
        """One line per step, for ``--debug`` and for people."""
        return []


def compile_plan(
    config: dict[str, Any],
    *,
    bundle: str,
    rootfs_mounts: tuple[Mount, ...] = (),
    options: PlanOptions,
) -> Plan:
    """Validate a config.json (runtime-spec 1.0 to 1.3) and turn it into a plan.

    Arguments:
        config: the decoded document.
        bundle: absolute path of the bundle's directory.
        rootfs_mounts: mounts that make the root file system; made inside the container's
            own mount namespace, in order, targets relative to the root file system.
        options: what the caller decides.
    Raises:
        InvalidArgument: the config breaks the specification; ``path`` names the field.
        Unimplemented: the config asks for something that is not offered.
    """
    raise NotImplementedError
