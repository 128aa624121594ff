"""The offline sandbox: an embedded Cognito user pool and an embedded Unleash Live API.

Both are real servers on loopback sockets, for `ul-proxy demo` and for tests. Imported by `cli.py` and `app.py` only.
"""
