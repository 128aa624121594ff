"""Stores for sessions, so that a refresh token outlives the process that was given it.

`base` is the interface; `memory`, `file` and `keyring` implement it; `opening` chooses one by the setting, whose forms
`specs` has. `records` is what they keep, as text, and `locks` has the locks on files.
"""
