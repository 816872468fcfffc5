"""A search for inputs that break what must not break, guided by the branches that they reach.

`make fuzz` runs it, with Google's atheris. The suite plays its seeds, and every input that it has ever found.
"""
