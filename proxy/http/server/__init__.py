"""Receive requests from callers, on top of aiohttp's server, and send the responses.

`listeners` opens the listening sockets (`listen`) with TLS (`tls`), and `server` accepts connections there. A
`connection` reads bytes (`flow`, `portions`), which `parser` cuts into requests with their content (`body`). They wait
in `turns`, and each is answered (`answering`) as a `request`, in a task of its own (`tasks`). `deadlines` ends
connections that are too slow, `peers` finds the callers that have gone, and `draining` brings all to their end.
"""
