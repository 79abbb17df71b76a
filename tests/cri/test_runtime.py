"""What the runtime says of itself, and images from a registry."""

from __future__ import annotations

import os

from corten.cri.pb import cri_pb2 as pb
from tests.cri.client import Cri
from tests.cri.conftest import CriDaemon


def test_version_and_status(cri: Cri) -> None:
    version = cri.Version(pb.VersionRequest())
    assert (version.runtime_name, version.runtime_api_version) == ("corten", "v1")
    status = cri.Status(pb.StatusRequest(verbose=True))
    conditions = {c.type: c.status for c in status.status.conditions}
    assert conditions == {"RuntimeReady": True, "NetworkReady": True}
    assert status.runtime_handlers[0].name == ""
    assert status.features.supplemental_groups_policy


def test_without_a_network_the_status_says_so(cri: Cri, cri_daemon: CriDaemon) -> None:
    path = cri_daemon.base / "net.d/10-pods.conflist"
    moved = path.rename(path.with_suffix(".away"))
    try:
        status = cri.Status(pb.StatusRequest())
        network = next(c for c in status.status.conditions if c.type == "NetworkReady")
        assert (network.status, network.reason) == (False, "NetworkPluginNotReady")
        assert "net.d" in network.message
    finally:
        moved.rename(path)


def test_the_cgroup_driver(cri: Cri) -> None:
    config = cri.RuntimeConfig(pb.RuntimeConfigRequest())
    has_systemd = os.path.isdir("/run/systemd/system")
    assert config.linux.cgroup_driver == (pb.SYSTEMD if has_systemd else pb.CGROUPFS)


def test_the_file_system_of_images(cri: Cri, cri_daemon: CriDaemon) -> None:
    info = cri.ImageFsInfo(pb.ImageFsInfoRequest())
    usage = info.image_filesystems[0]
    assert usage.fs_id.mountpoint == str(cri_daemon.root)
    assert usage.used_bytes.value > 0


def test_images_are_listed_and_streamed(cri: Cri) -> None:
    listed = cri.ListImages(pb.ListImagesRequest()).images
    streamed = [i for part in cri.StreamImages(pb.StreamImagesRequest()) for i in part.images]
    assert [i.id for i in listed] == [i.id for i in streamed]
    assert any("tools" in tag for image in listed for tag in image.repo_tags)
