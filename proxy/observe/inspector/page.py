"""The page: one document, with its style and its script in it, that may load and run nothing else."""

from base64 import b64encode
from hashlib import sha256
from pathlib import Path

from proxy.http.response import Response

_FOLDER = Path(__file__).parent
_STYLE, _SCRIPT = '<link rel="stylesheet" href="page.css">', '<script src="page.js" defer></script>'


def _page() -> Response:
    style, script = (_FOLDER.joinpath(name).read_text("utf-8") for name in ("page.css", "page.js"))
    text = _FOLDER.joinpath("page.html").read_text("utf-8")
    text = text.replace(_STYLE, f"<style>{style}</style>")
    # At the end, where what it speaks of is there: `defer` is for scripts that are fetched.
    text = text.replace(_SCRIPT, "").replace("</body>", f"<script>{script}</script></body>")
    body = text.encode()
    return Response(
        200,
        (
            (b"Content-Type", b"text/html; charset=utf-8"),
            (b"Content-Length", b"%d" % len(body)),
            (b"Cache-Control", b"no-store"),
            (b"Content-Security-Policy", _policy(style, script)),
            (b"Cross-Origin-Opener-Policy", b"same-origin"),
            (b"Cross-Origin-Resource-Policy", b"same-origin"),
            (b"Referrer-Policy", b"no-referrer"),
            (b"X-Content-Type-Options", b"nosniff"),
            (b"X-Frame-Options", b"DENY"),
        ),
        body,
    )


def _policy(style: str, script: str) -> bytes:
    """What the page may do (Content Security Policy Level 3): its own script and style, by what is in them."""
    directives = (
        "default-src 'none'",
        f"script-src {_hash(script)}",
        f"style-src {_hash(style)}",
        "img-src data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # No string becomes markup, whatever a later hand writes.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
    return "; ".join(directives).encode()


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


PAGE = _page()
"""The page as an answer."""
