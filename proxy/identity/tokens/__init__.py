"""`TokenKeeper`: a good token for every profile, at the price of one sign-in.

One flight per profile signs in or renews; all who need its token wait for that one, behind a shield, so that a caller
who goes away cancels nothing. A renewal that fails leaves a good token in place. What `lifetime.py` decides is carried
out here; what Cognito says comes from an Authority, and what outlives the process goes to a SessionStore.

`slot` is what is known of a profile, `cache` holds the slots, `renewal` is how a token is come by, `keeper` the rest.
"""
