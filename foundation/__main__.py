"""``python -m foundation``."""

from foundation.cli import main

if __name__ == "__main__":
    main()
