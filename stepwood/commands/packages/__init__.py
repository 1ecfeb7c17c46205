"""The commands of `stepwood opam`."""
