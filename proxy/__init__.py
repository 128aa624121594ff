"""A local authenticating reverse proxy for the Unleash Live API.

`cli` has the commands and `app` builds the proxy; a request's way begins at `forward`, a token's at `identity`.
docs/architecture.md has the packages, what each may import, and the words that are used throughout.
"""

__version__ = "0.1.0"
