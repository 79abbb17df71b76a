"""The client side of the distribution specification: manifests and blobs over HTTP(S).

What to do about an answer (challenges, retries, errors) is decided without I/O; ``client`` is
the one driver.
"""
