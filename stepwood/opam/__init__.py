"""opam: repositories of packages, read and put in order."""
