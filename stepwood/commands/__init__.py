"""The commands, a file for each family; `stepwood.cli` imports the one that is asked for."""
