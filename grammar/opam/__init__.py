"""The opam format: text in, values out."""
