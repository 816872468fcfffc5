"""straightwire: a proxy that gives almost-OpenAI servers OpenAI's wire form.

The house, from the roof down; a floor imports only from the floors below it,
and a test walks the imports to keep it so.

    cli       commands, and nothing that a command does
    server    what serves, with aiohttp: processes, relays, upstreams, the operator's side
    config    the file an operator writes, as validated objects
    wire      parser, rewriter, catalogue of repairs: bytes in, bytes out, no I/O
    errors    every exception, and OpenAI's error body

Beside the stairs stands `demo`, an imitation of LocalAI as of May 2023 to try
the proxy on; nothing but `cli` knows it.
"""

__version__ = "0.1.0"
