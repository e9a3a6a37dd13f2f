"""``python -m pancli``."""

from pancli.cli.app import main

if __name__ == "__main__":
    main()
