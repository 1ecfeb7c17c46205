"""How a function that looks into a tree says no. Apart from `inside`, which imports the functions that raise it."""


class Refused(Exception):
    """The request is wrong: a missing source, a file that changed. Its text is for the user."""
