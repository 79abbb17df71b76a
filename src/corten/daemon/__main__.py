"""``python3 -m corten.daemon``."""

from corten.daemon.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
