"""Running a DAG: one loop that owns the state, workers that materialise one step each."""
