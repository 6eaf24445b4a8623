"""`python -m offhand`: the command `offhand`."""

from offhand.cli import main

main()
