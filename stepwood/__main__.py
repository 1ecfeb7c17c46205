"""`python -m stepwood` is `stepwood`."""

from stepwood.cli import main

main()
