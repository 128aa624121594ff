"""Where sessions are between runs, so that a refresh token outlives the process that was given it.

`records` is what is kept and whose it is; `memory`, `file` and `keyring` are the places; `opening` chooses one.
"""
