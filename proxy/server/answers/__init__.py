"""A request's answer goes out.

    service      which upstream answers, and what becomes of its answer
    destination  an upstream, with all that the configuration says of it
    names        the model of a request that is not ours to understand
    models       the list of models

A stream

    relay        a stream, rewritten event by event
    stream       that stream as the client gets it
    silence      what it does while the upstream says nothing
    pace         when its events came

All else

    whole        an answer in one piece, rewritten
    progress     whether it gets on
    passthrough  what is not ours to rewrite
    websocket    a WebSocket
    failures     errors
"""
