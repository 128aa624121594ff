"""Send requests to upstreams, and stream the responses back.

`connect` opens connections to the addresses that `dns` finds (in `threads`), `tunnel` does so through an outbound proxy
(`outbound` chooses it), `tls` encrypts them, and `faults` says what their failures mean. `connection` reads and writes.
`exchange` is one request on it and its response, which `receiving` reads. `link` is what the two know of each other,
and `ending` finds out how the upstream ended. `pool` keeps connections between requests. `transport` puts all of it
together, and sends again what may be.
"""
