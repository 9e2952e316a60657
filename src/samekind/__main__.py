"""`python -m samekind` and the command `samekind`."""

from samekind.cli import main

if __name__ == "__main__":
    main()
