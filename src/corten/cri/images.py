"""The image service's six methods."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import time
from collections.abc import AsyncIterator

from corten.cri.pb import cri_pb2 as pb
from corten.cri.tenant import TENANT
from corten.engine.contract import Engine
from corten.engine.types import Auth, Image
from corten.errors import InvalidArgument, NotFound

_STREAMED = 100  # images in one message of StreamImages


class Images:
    """One id everywhere: ``Image.id``, a container's ``image_id`` and the answer of PullImage
    are the engine's image id, the digest of the configuration.

    Arguments:
        root_dir: the file system that holds images and containers.
    """

    def __init__(self, engine: Engine, root_dir: str) -> None:
        self._engine = engine
        self._root_dir = root_dir

    async def ListImages(self, request: pb.ListImagesRequest) -> pb.ListImagesResponse:
        return pb.ListImagesResponse(images=self._filtered(request.filter))

    async def StreamImages(
        self, request: pb.StreamImagesRequest
    ) -> AsyncIterator[pb.StreamImagesResponse]:
        found = self._filtered(request.filter)
        for start in range(0, len(found), _STREAMED):
            yield pb.StreamImagesResponse(images=found[start : start + _STREAMED])

    def _filtered(self, wanted: pb.ImageFilter) -> list[pb.Image]:
        if not wanted.image.image:
            return [_image(image) for image in self._engine.list_images(TENANT)]
        try:
            return [_image(self._engine.get_image(TENANT, wanted.image.image))]
        except NotFound:
            return []

    async def ImageStatus(self, request: pb.ImageStatusRequest) -> pb.ImageStatusResponse:
        """An image that is not there is no error but no image."""
        try:
            found = self._engine.get_image(TENANT, request.image.image)
        except NotFound:
            return pb.ImageStatusResponse()
        facts = {"imageSpec": found.config, "layers": list(found.layers)}
        return pb.ImageStatusResponse(
            image=_image(found), info={"info": json.dumps(facts)} if request.verbose else {}
        )

    async def PullImage(self, request: pb.PullImageRequest) -> pb.PullImageResponse:
        if not request.image.image:
            raise InvalidArgument("PullImage names no image")
        auth = credentials(request.auth) if request.HasField("auth") else None
        found = await self._engine.pull_image(TENANT, request.image.image, auth=auth)
        return pb.PullImageResponse(image_ref=found.id)

    async def RemoveImage(self, request: pb.RemoveImageRequest) -> pb.RemoveImageResponse:
        """All names of the image go, whichever was given; what is not there succeeds."""
        with contextlib.suppress(NotFound):
            found = self._engine.get_image(TENANT, request.image.image)
            await self._engine.remove_image(TENANT, found.id, force=True)
        return pb.RemoveImageResponse()

    async def ImageFsInfo(self, request: pb.ImageFsInfoRequest) -> pb.ImageFsInfoResponse:
        """Bytes are the images' sizes; shared layers count for each."""
        used = sum(image.size for image in self._engine.list_images(TENANT))
        usage = pb.FilesystemUsage(
            timestamp=time.time_ns(),
            fs_id=pb.FilesystemIdentifier(mountpoint=self._root_dir),
            used_bytes=pb.UInt64Value(value=used),
            inodes_used=pb.UInt64Value(value=0),
        )
        return pb.ImageFsInfoResponse(image_filesystems=[usage], container_filesystems=[usage])


def _image(image: Image) -> pb.Image:
    uid, name = _user(image)
    return pb.Image(
        id=image.id,
        repo_tags=image.tags,
        repo_digests=image.digests,
        size=image.size,
        uid=uid,
        username=name,
        spec=pb.ImageSpec(image=image.id, annotations={}),
        pinned=image.pinned,
    )


def _user(image: Image) -> tuple[pb.Int64Value | None, str]:
    """By number or by name: the kubelet checks runAsNonRoot against it."""
    user = str((image.config.get("config") or {}).get("User") or "").split(":")[0]
    if not user or user.isdecimal():
        return pb.Int64Value(value=int(user or 0)), ""
    return None, user


def credentials(auth: pb.AuthConfig) -> Auth:
    """For the registry; never logged.

    Raises:
        InvalidArgument: ``auth`` is not Base64 of USER:PASSWORD.
    """
    username, password = auth.username, auth.password
    if auth.auth and not username:
        try:
            text = base64.b64decode(auth.auth, validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            text = ""
        username, colon, password = text.partition(":")
        if not colon:
            raise InvalidArgument("the registry's credentials are not Base64 of USER:PASSWORD")
        password = password.rstrip("\0")
    return Auth(
        username=username,
        password=password,
        identity_token=auth.identity_token,
        registry_token=auth.registry_token,
    )
