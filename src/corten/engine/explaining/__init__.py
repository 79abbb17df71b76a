"""``corten explain``: what an object is made of on this machine, and what goes with it."""
