"""A request comes in.

    client_connections  connections of clients, and what on them is no HTTP at all
    one_task            their fast road
    recurring_head      heads that it need not parse again
    exchange            the request, and what becomes of it
    answering           what happens to every one of them, in order
    running             those that have not been answered
    endpoints           what is understood, and under which paths

What is asked of its head

    admission           what follows from it, which a connection remembers
    doors               what it passes before it is served
    auth                the clients' keys
    cors                web pages that may call
    paths               where it goes at its upstream, and whether it may
    forwarding          whom it comes from, as the upstream is told
    headers             header fields that travel through a proxy
    body                its body, as it comes
"""
