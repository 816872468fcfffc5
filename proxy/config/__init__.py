"""The file an operator writes, as validated objects.

load         file, environment and command line together: the only door
document     YAML as plain values, each with the line it stands in
environment  STRAIGHTWIRE_… variables, laid over the file
tree         what was given, and where each value comes from
schema       the model: every key, its type, its default, its meaning
checks       what only several values together show, such as unreachable patterns
complaints   the model's errors in an operator's words
routes       model names to upstreams
"""
