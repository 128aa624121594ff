"""Speak HTTP/1.1 on both sides of a proxy, whatever is carried.

`grammar` says what a message is, `server` speaks with callers, `client` with upstreams. The other modules serve both.
"""
