"""The rooms that know aiohttp: one socket to the client, one to the upstream, a rewriter between."""
