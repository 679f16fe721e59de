"""`python -m gainstage` is the command `gainstage`."""

from gainstage.cli import main

main()
