"""`python -m xtransfer`."""

from xtransfer.cli import main

main()
