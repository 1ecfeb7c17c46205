"""Pages to look at: plans, and what jobs share. A page is one file that opens from disk and asks no network.

A document says what there is, in columns; a template and the scripts in `assets/` show it. The same document can be
taken from the page as JSON.
"""
