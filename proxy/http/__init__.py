"""HTTP/1.1 on both sides, for whatever is carried: knows neither Unleash Live nor Cognito.

`grammar` is what messages are, `server` the callers' side, `client` the upstreams'. Beside them stands what both use.
"""
