"""Good tokens and AWS keys for every profile, at the price of one sign-in.

Begin with `single_flight`: who waits for what, and when a renewal begins. `manager` has the tokens, `aws_keys` the AWS
keys. `renewal` is how a token is come by; `state` is what is known of a profile, `lifetime` when it is good.
"""
