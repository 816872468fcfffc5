"""The upstream is asked, and its answer comes in.

    upstream             asks it, and turns all that goes wrong into errors of ours
    sending              a request on the plain road, and whether once more
    upstream_connection  a connection
    connector            those that are kept, and how new ones are made
    resolver             the addresses of its name
    keepalive            sockets that notice that it is gone
    answer               its answer, read as it comes
    buffered_answer      the same, as aiohttp keeps it: the plain road
    answer_heads         heads of answers, and those that cannot be used
    no_answer            why there is no answer
    locations            where it sends clients

The fast road

    direct               of its event streams
    direct_answer        their answers
    direct_connection    its connections
    direct_body          their bytes
    direct_request       to it
"""
