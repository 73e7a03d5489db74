"""`python -m squero` is the command `squero`."""

from squero.cli import main

main()
