"""Images on their way: to and from archives, to registries."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from corten.engine.contract import ProgressSink
from corten.engine.library import Library, credentials, forwarding
from corten.engine.parts import Parts
from corten.engine.types import Auth, Tenant
from corten.images.documents import imported
from corten.images.host import view as hostview
from corten.images.making import Loaded
from corten.images.push import Pushed
from corten.images.trees.service import Transfer
from corten.images.types import ImageRecord
from corten.spec import reference
from corten.spec.descriptor import Descriptor
from corten.spec.platform import Platform


class Exchange:
    """The methods of the engine about that."""

    def __init__(self, parts: Parts, library: Library) -> None:
        self._parts = parts
        self._library = library

    async def imported(
        self, tenant: Tenant, name: str, *, changes: Sequence[str], comment: str, platform: str
    ) -> Transfer[ImageRecord]:
        """See ``contract.Engine.import_image``."""
        document = imported(changes, comment=comment, asked=platform, now=int(time.time()))
        return await self._parts.images.imported(tenant, document, name)

    async def load(
        self, tenant: Tenant, progress: ProgressSink | None
    ) -> Transfer[Sequence[Loaded]]:
        """See ``contract.Engine.load_images``."""
        return await self._parts.images.load(tenant, forwarding(progress))

    async def save(self, tenant: Tenant, refs: Sequence[str]) -> Transfer[None]:
        """See ``contract.Engine.save_images``."""
        for ref in refs:
            if self._library.is_host(tenant, ref):
                raise hostview.refuse("saved")
        return await self._parts.images.save(tenant, refs)

    async def push(
        self, tenant: Tenant, ref: str, *, auth: Auth | None, progress: ProgressSink | None
    ) -> Pushed:
        """See ``contract.Engine.push_image``. A second push of the same name joins the first."""
        if self._library.is_host(tenant, ref):
            raise hostview.refuse("pushed")
        name = str(reference.parse(ref))
        # What one user may do another may not: credentials are part of what is joined.
        user = "" if auth is None else str(hash(msgspec.structs.astuple(auth)))
        return await self._parts.operations.run(
            ("push", tenant, name, user),
            lambda: self._parts.images.push(
                tenant, ref, auth=credentials(auth), progress=forwarding(progress)
            ),
        )

    async def tags(self, ref: str, auth: Auth | None) -> Sequence[str]:
        """See ``contract.Engine.repository_tags``."""
        return await self._parts.images.tags(ref, auth=credentials(auth))

    async def look(
        self, tenant: Tenant, ref: str, auth: Auth | None
    ) -> tuple[Descriptor, Sequence[Platform]]:
        """See ``contract.Engine.remote_image``."""
        return await self._parts.images.look(tenant, ref, auth=credentials(auth))

    def names_of(self, tenant: Tenant, repository: str) -> Sequence[str]:
        """See ``contract.Engine.repository_names``."""
        return self._parts.images.names_of(tenant, repository)

    async def check_login(self, server: str, auth: Auth) -> None:
        """See ``contract.Engine.check_login``."""
        known = credentials(auth)
        assert known is not None
        await self._parts.images.check_login(server, known)
