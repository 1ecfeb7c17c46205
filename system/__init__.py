"""The machine below: errors, processes, the helper that starts launches. Imports nothing of ours."""
