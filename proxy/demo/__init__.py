"""The offline sandbox: an embedded Cognito and an embedded Unleash Live API, for `ul-proxy demo` and for tests.

Both are real servers on loopback. `cognito` answers for the user `pool` and the `identity_pool`, `api` for the surfaces
`rest` and `media_drive`; `faults` makes them fail on demand.
"""
