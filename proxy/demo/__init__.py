"""An imitation of LocalAI as of May 2023, to try the proxy on without a model, a download or a GPU.

It knows nothing of the rest of the house, and only `cli` knows it.

    localai     the aiohttp application: routes, headers, errors
    question    what arrives: a request's body, read as LocalAI read it
    answer      what leaves: every body and every frame, byte for byte
    go_json     JSON as Go's encoder writes it and Go's decoder reads it
"""
