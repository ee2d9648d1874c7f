"""`python -m synthface`: the same as the command `synthface`."""

from synthface.cli import main

if __name__ == "__main__":
    main()
