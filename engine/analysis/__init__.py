"""How much of its work a batch of jobs can share: orders of steps, what they save, and how far from the least they are.

Pure: no input or output, and chance only from a fixed seed. Standard library only.
"""
