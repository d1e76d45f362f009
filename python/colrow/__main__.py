"""`python -m colrow` is the program `colrow`."""

from .program import main

main()
