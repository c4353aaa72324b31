"""`python -m beatlens` is the command `beatlens`."""

from beatlens.cli import main

if __name__ == "__main__":
    main()
