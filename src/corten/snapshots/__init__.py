"""Layered file system states; emits ``Mount`` lists and knows nothing of who mounts them."""
