"""`python -m ferrio`: hands over to the command line in `ferrio.cli`."""

from ferrio.cli import main

main()
