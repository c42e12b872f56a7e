"""`python -m xtransfer`."""

from xtransfer.cli import main

if __name__ == "__main__":
    main()
