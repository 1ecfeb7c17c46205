"""What a person at a terminal sees of a build while it runs: events in, a block of lines at the bottom out."""
