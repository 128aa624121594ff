"""What the proxy shows of its requests and of itself.

`request_log` hands the facts of each request to its readers: `metrics`, the access log in `logs`, and the `inspector`.
`endpoints` answers below `/-/`; `prometheus` writes the metrics.
"""
