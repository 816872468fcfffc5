"""The file an operator writes, as validated objects.

The way in

    load         file, environment and command line together: the only door
    document     YAML as plain values, each with the line it stands in
    variables    `${NAME}` in those values
    environment  STRAIGHTWIRE_… variables, laid over the file
    tree         what was given, and where each value comes from
    checks       what only several values together show, such as unreachable patterns
    complaints   the model's errors in an operator's words

The model

    schema       every key, its type, its default, its meaning
    shape        the same as a tree to walk
    scalars      text, until the schema asks for something else
    units        durations and sizes
    addresses    of upstreams, listeners, networks and web pages
    files        files that are named
    secrets      keys, never shown again

At work

    routes       model names to upstreams
    patterns     model names with `*` and `?`
    shares       what one of several workers may take of a limit
    lasting      what a running process cannot change any more
"""
