"""The pure floor: bytes in, bytes out. No socket, no clock, no random number.

A stream

    sse           the event stream of the standard: bytes into events
    wrapping      the same, read at a glance where all events look alike
    framing       the same, of upstreams that speak it badly, or not at all
    intake        events into chunks
    machine       chunks into frames: the repairs in their order
    right         a chunk in which nothing is wrong, told at a glance
    skeleton      what all other repairs of a chunk need
    saying        the role and the finish reason of a choice, and what is left of its delta
    call_machine  the calls in a delta
    endings       how choices begin and end, and what is held back until they do
    frames        chunks, written
    rewriter      all of these as one: `StreamRewriter`
    report        what became of a stream
    splice        the short road past most of them, for an event like the last
    shortcut      the shortest: past HTTP's chunks too, from read to write

A whole body

    bodies        repairs one: `rewrite_body`
    body_machine  the walk through it
    vectors       embeddings, left as the bytes that they are
    charset       other encodings than UTF-8
    convert       a stream that came in its place, folded into it: `StreamFolder`
    folding       the folding itself

What both know

    chunk         the vocabulary: a stream, its choices, their phases
    requests      what of a request decides how its answer must look
    plan          catalogue and switches, compiled
    repairs       the catalogue: what is corrected in answers
    document      the catalogue as a page to read
    codec         JSON, as upstreams write it and as it leaves
    calls         which fragment belongs to which tool call
    call_ids      the ids that calls leave with
    signs         what a fragment says of itself
    arguments     whether the arguments of a call are whole
    previews      calls that are sent again while they grow
    moments       when an answer or a model was made
    reported      an upstream's errors, in whatever form
    error_words   how servers name them
    error_pages   those that come as a page of HTML
    finish_words  how they name the end of an answer

A request on its way up, and HTTP

    translations  what is corrected in requests
    model_name    the model's name in JSON, exchanged in place
    model_places  the model's name elsewhere: path, query, form
    chunked       HTTP's chunks, taken off a body
"""
