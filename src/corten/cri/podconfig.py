"""``PodSandboxConfig`` into the engine's PodConfig, and a Pod into CRI's answers."""

from __future__ import annotations

from corten.cri.pb import cri_pb2 as pb
from corten.cri.security import sandbox_security
from corten.engine.types import Pod, PodConfig, PortBinding
from corten.errors import InvalidArgument, Unimplemented

_PROTOCOLS = {pb.TCP: "tcp", pb.UDP: "udp", pb.SCTP: "sctp"}


def pod_config(config: pb.PodSandboxConfig, *, handler: str) -> PodConfig:
    """What a pod is made from.

    Arguments:
        handler: the runtime handler of the request.
    Raises:
        InvalidArgument: a field that has to be there is missing.
        Unimplemented: a pod with a user namespace of its own.
    """
    metadata = config.metadata
    if not metadata.name or not metadata.namespace:
        raise InvalidArgument("a pod needs a name and a namespace in its metadata")
    linux = config.linux
    options = linux.security_context.namespace_options
    if options.userns_options.mode == pb.POD and options.HasField("userns_options"):
        raise Unimplemented("user namespaces of pods are not offered by this version of Corten")
    return PodConfig(
        name=metadata.name,
        uid=metadata.uid,
        namespace=metadata.namespace,
        attempt=metadata.attempt,
        hostname=config.hostname,
        log_directory=config.log_directory,
        labels=dict(config.labels),
        annotations=dict(config.annotations),
        dns_servers=tuple(config.dns_config.servers),
        dns_searches=tuple(config.dns_config.searches),
        dns_options=tuple(config.dns_config.options),
        ports=tuple(_port(port) for port in config.port_mappings),
        cgroup_parent=linux.cgroup_parent,
        host_network=options.network == pb.NODE,
        host_pid=options.pid == pb.NODE,
        host_ipc=options.ipc == pb.NODE,
        share_pid=options.pid == pb.POD,
        sysctls=dict(linux.sysctls),
        security=sandbox_security(linux.security_context),
        runtime=handler,
    )


def _port(port: pb.PortMapping) -> PortBinding:
    return PortBinding(
        container_port=port.container_port,
        protocol=_PROTOCOLS.get(port.protocol, "tcp"),
        host_ip=port.host_ip,
        host_port=port.host_port,
    )


def metadata(config: PodConfig) -> pb.PodSandboxMetadata:
    return pb.PodSandboxMetadata(
        name=config.name, uid=config.uid, namespace=config.namespace, attempt=config.attempt
    )


def state(pod: Pod) -> pb.PodSandboxState:
    return pb.SANDBOX_READY if pod.ready else pb.SANDBOX_NOTREADY


def item(pod: Pod) -> pb.PodSandbox:
    """A row of ListPodSandbox."""
    return pb.PodSandbox(
        id=pod.id,
        metadata=metadata(pod.config),
        state=state(pod),
        created_at=pod.created_at,
        labels=pod.config.labels,
        annotations=pod.config.annotations,
        runtime_handler=pod.config.runtime,
    )


def status(pod: Pod) -> pb.PodSandboxStatus:
    """The answer to PodSandboxStatus."""
    ips = pod.ips if pod.ready else ()
    return pb.PodSandboxStatus(
        id=pod.id,
        metadata=metadata(pod.config),
        state=state(pod),
        created_at=pod.created_at,
        network=pb.PodSandboxNetworkStatus(
            ip=ips[0] if ips else "", additional_ips=[pb.PodIP(ip=ip) for ip in ips[1:]]
        ),
        linux=pb.LinuxPodSandboxStatus(namespaces=pb.Namespace(options=_namespaces(pod.config))),
        labels=pod.config.labels,
        annotations=pod.config.annotations,
        runtime_handler=pod.config.runtime,
    )


def _namespaces(config: PodConfig) -> pb.NamespaceOption:
    pid = pb.POD if config.share_pid else pb.CONTAINER
    return pb.NamespaceOption(
        network=pb.NODE if config.host_network else pb.POD,
        pid=pb.NODE if config.host_pid else pid,
        ipc=pb.NODE if config.host_ipc else pb.POD,
    )
