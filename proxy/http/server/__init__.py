"""The caller's side of a request, on top of aiohttp's server; only this folder and `app.py` know that server."""
