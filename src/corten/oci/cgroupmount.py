"""The view of cgroups inside a container: mounts of type ``cgroup`` and ``cgroup2``.

With a cgroup namespace each hierarchy is mounted anew and shows the container's own group
as its top; without one the container's own directory is bound there.
"""

from __future__ import annotations

import posix
from errno import EBUSY, EPERM

from corten.cgroups.detect import hierarchies
from corten.kernel import mounts as k
from corten.kernel.paths import fsdecode, name
from corten.oci import trees
from corten.oci.mountoptions import Options
from corten.oci.paths import fd_path
from corten.spec._struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.oci.context import Context

_TMPFS_DATA = "mode=755"


class CgroupMount(Struct):
    """The whole view at one destination, whatever kind of tree the host has.

    Fields:
        namespaced: the container has a cgroup namespace of its own.
    """

    destination: str
    type: str
    options: Options
    namespaced: bool

    @property
    def name(self) -> str:
        return f"mount {self.type} at {self.destination}"

    def describe(self) -> str:
        how = "namespace" if self.namespaced else "bind"
        return f"{self.name} ({how}) flags={self.options.flags:#x}"

    def execute(self, context: Context) -> None:
        where = hierarchies()
        own = own_groups()
        target = context.root.make_directory(self.destination)
        try:
            if where.kind == "v2" or self.type == "cgroup2":
                self._mount_v2(target, where.unified, own.get("", "/"))
            else:
                self._mount_v1(context, target, own)
        finally:
            posix.close(target)

    def _mount_v2(self, target: int, top: str, group: str) -> None:
        if self.namespaced or not top:
            try:
                k.mount("cgroup", fd_path(target), "cgroup2", self.options.flags)
                return
            except OSError as error:
                # a user namespace that does not own the cgroup namespace; or a process in it
                if error.errno not in (EPERM, EBUSY) or not top:
                    raise
        self._bind(f"{top}{group}", target)

    def _mount_v1(self, context: Context, target: int, own: dict[str, str]) -> None:
        flags = self.options.flags & ~k.MS_RDONLY
        k.mount("tmpfs", fd_path(target), "tmpfs", flags, _TMPFS_DATA)
        top = context.root.open(self.destination, posix.O_PATH | posix.O_DIRECTORY)
        try:
            for name, (path, controllers) in self._views().items():
                self._mount_hierarchy(top, name, path, controllers, own)
                self._link_parts(top, name, controllers)
            if self.options.flags & k.MS_RDONLY:
                trees.make_read_only(top)
            trees.set_propagation(top, self.options.propagation)
        finally:
            posix.close(top)

    @staticmethod
    def _views() -> dict[str, tuple[str, list[str]]]:
        """Directory name: (host's mount point, its controllers), in a fixed order."""
        where = hierarchies()
        views: dict[str, tuple[str, list[str]]] = {}
        for controller, path in where.mounts.items():
            views.setdefault(name(path), (path, []))[1].append(controller)
        if where.unified:
            views["unified"] = (where.unified, [])
        return views

    def _mount_hierarchy(
        self, top: int, name: str, path: str, controllers: list[str], own: dict[str, str]
    ) -> None:
        # in a tmpfs that nobody else has seen yet
        posix.mkdir(name, 0o755, dir_fd=top)
        if not self.namespaced:
            self._bind(path + own.get(controllers[0] if controllers else "", ""), top, name)
            return
        if controllers:
            kind, data = "cgroup", ",".join([_option(item) for item in controllers])
        else:
            kind, data = "cgroup2", ""
        k.mount("cgroup", f"{fd_path(top)}/{name}", kind, self.options.flags, data)

    def _bind(self, source: str, target: int, name: str = "") -> None:
        tree = trees.clone(source, recursive=False)
        try:
            trees.attach_with(tree, target, *self.options.attributes(), name)
        finally:
            posix.close(tree)

    @staticmethod
    def _link_parts(top: int, name: str, controllers: list[str]) -> None:
        """``cpu`` → ``cpu,cpuacct``, as distributions have it."""
        if len(controllers) > 1:
            for controller in controllers:
                posix.symlink(name, controller, dir_fd=top)


def _option(controller: str) -> str:
    return f"none,{controller}" if controller.startswith("name=") else controller


def own_groups() -> dict[str, str]:
    """Our group by controller, ``""`` for the v2 tree (cgroups(7), ``/proc/PID/cgroup``)."""
    fd = posix.open("/proc/self/cgroup", posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        text = fsdecode(posix.read(fd, 65536))
    finally:
        posix.close(fd)
    groups = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            groups[controller] = path
    return groups
