"""The transport: one request goes to an upstream and its answer streams back.

`connect` opens connections to the addresses that `names` finds (in `threads`), `tunnel` does so through an outbound
proxy, `tls` encrypts them, and `faults` says what their failures mean. `connection` reads and writes, `exchange` is one
request and its answer on it, `link` what the two are to each other. `pool` keeps connections between requests,
`transport` puts all together and sends again what may be.
"""
