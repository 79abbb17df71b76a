"""Generated from cri.proto by tools/gen_proto.py; only this file is kept in git."""
