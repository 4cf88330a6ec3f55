"""`python -m keymuster` is `keymuster`."""

from keymuster.cli import main

main()
