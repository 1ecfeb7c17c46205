"""What Stepwood exists for: hashed steps, plans, the DAG, scheduling and the index."""
