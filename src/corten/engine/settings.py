"""What the engine must know of its daemon; made from ``config.toml`` by ``daemon``."""

from __future__ import annotations

import msgspec

from corten.errors import InvalidArgument


class RuntimeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """An OCI runtime's program that containers may ask for by name.

    Fields:
        path: of the program.
        args: put before the command in each call of it.
    """

    path: str
    args: tuple[str, ...] = ()


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one engine.

    Fields:
        root: R, durable data.
        state: S, gone after a reboot.
        prefix: of every name in a host-wide name space.
        share_images: images of one tenant are visible to the other.
        runtimes: by name; ``""`` and ``native`` are the one of our own.
        cgroup_driver: ``cgroupfs``, or ``systemd``: a container is a scope of systemd's then.
        cgroup_parent: path (or slice) below which containers' groups are made; ``""``: the prefix.
        log_max_size, log_max_files: defaults of ``json-file`` (bytes; 0: never rotated).
        start_deadline: seconds in which a container must be created and started.
        event_history: how many events are kept.
    """

    root: str
    state: str
    prefix: str
    version: str = ""
    share_images: bool = True
    runtimes: dict[str, RuntimeSettings] = {}
    cgroup_driver: str = "cgroupfs"
    cgroup_parent: str = ""
    log_max_size: int = 0
    log_max_files: int = 1
    start_deadline: float = 60.0
    event_history: int = 20_000

    def container_dir(self, container_id: str) -> str:
        """R/containers/ID: hosts, hostname, resolv.conf and the json-file log."""
        return f"{self.root}/containers/{container_id}"

    @property
    def volumes(self) -> str:
        """R/volumes: a directory for each tenant, in it one for each volume."""
        return f"{self.root}/volumes"

    def volume_dir(self, tenant: str, name: str) -> str:
        """R/volumes/TENANT/NAME: the files in ``_data``, beside them what is being copied."""
        return f"{self.volumes}/{tenant}/{name}"

    def run_dir(self, container_id: str) -> str:
        """S/run/ID: the monitor's."""
        return f"{self.state}/run/{container_id}"

    def pod_dir(self, pod_id: str) -> str:
        """S/pods/ID: the pod monitor's."""
        return f"{self.state}/pods/{pod_id}"

    def pod_files(self, pod_id: str) -> str:
        """S/podfiles/ID: hosts, hostname, resolv.conf and shm of a pod."""
        return f"{self.state}/podfiles/{pod_id}"

    @property
    def rootfs_dir(self) -> str:
        """An empty directory; root file systems are mounted on it in containers' own
        mount namespaces."""
        return f"{self.state}/rootfs"

    @property
    def monitors_cgroup(self) -> str:
        """The group of the launcher and of monitors, outside the daemon's own."""
        return f"/{self.prefix}-monitors"

    def container_cgroup(self, container_id: str, parent: str = "") -> str:
        """A container's group, as ``linux.cgroupsPath`` has it: a path, or with the driver
        ``systemd`` its slice, a prefix and its name.

        Raises:
            InvalidArgument: the parent is no slice, though systemd is the driver.
        """
        return self._group(parent or self.cgroup_parent, self.prefix, container_id)

    def pod_monitors_cgroup(self, pod_id: str, parent: str) -> str:
        """A leaf below the parent that the kubelet gave a pod, beside its containers' groups;
        empty: the launcher's."""
        if not parent:
            return ""
        monitors = f"{self.prefix}-monitors"
        if self.cgroup_driver == "systemd":
            return self._group(parent, monitors, pod_id)
        return self._group(parent, "", monitors)

    def _group(self, parent: str, prefix: str, name: str) -> str:
        if self.cgroup_driver == "systemd":
            return f"{slice_name(parent) if parent else f'{self.prefix}.slice'}:{prefix}:{name}"
        return f"{(parent or '/' + self.prefix).rstrip('/')}/{name}"


def slice_name(parent: str) -> str:
    """The slice that a parent names: ``a-b.slice``, or the path of one as the kubelet has it.

    Raises:
        InvalidArgument: it is none.
    """
    name = parent.rstrip("/").rpartition("/")[2]
    stem = name.removesuffix(".slice")
    if name == stem or not all(stem.split("-")):
        raise InvalidArgument(
            'cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"',
            hint=f"it is {parent!r}; engine.cgroup_driver in config.toml chooses the driver",
        )
    return name
