"""One request: guard, route, credential, headers, upstream, answer.

`forwarder` is the way from one end to the other, `gate` lets requests in and plans it, `credentials` knows what a route
adds, `refusal` whether an upstream refused that.
"""
