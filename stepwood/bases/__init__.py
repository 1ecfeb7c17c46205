"""Base providers: what `(from …)` names, pinned to a digest and fetched into a draft."""
