"""A container's record to its OCI runtime configuration: pure functions, Docker's defaults."""

from corten.engine.specgen.build import Surroundings, build
from corten.engine.specgen.merge import merge_image
from corten.engine.specgen.process import exec_process

__all__ = ["Surroundings", "build", "exec_process", "merge_image"]
