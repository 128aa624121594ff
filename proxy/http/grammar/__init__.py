"""Parse and write the message framing of HTTP/1.1 (RFC 9112): heads, and where a content ends. All of it is pure.

`requests` and `responses` have the heads, `chunked` the content, `fields` what field sections have in common. All are
strict on purpose: what two parsers could read differently is an error, never a guess. Field sections stay the bytes
that the sender wrote, and are taken apart only where that is needed.
"""

from proxy.http.grammar.chunked import MANY_CHUNKS, ChunkedDecoder, chunk, chunked_content, last_chunk
from proxy.http.grammar.fields import MAX_HEAD, FramingError, field_lines, lines_of, values_of
from proxy.http.grammar.requests import (
    END_OF_HEAD,
    Fields,
    RequestHead,
    check_beginning,
    parse_request,
    request_line,
)
from proxy.http.grammar.responses import (
    SWITCHING_PROTOCOLS,
    Content,
    Delimiter,
    Head,
    check_response_beginning,
    content_of,
    kept_for,
    parse_head,
)

__all__ = [
    "END_OF_HEAD",
    "MANY_CHUNKS",
    "MAX_HEAD",
    "SWITCHING_PROTOCOLS",
    "ChunkedDecoder",
    "Content",
    "Delimiter",
    "Fields",
    "FramingError",
    "Head",
    "RequestHead",
    "check_beginning",
    "check_response_beginning",
    "chunk",
    "chunked_content",
    "content_of",
    "field_lines",
    "kept_for",
    "last_chunk",
    "lines_of",
    "parse_head",
    "parse_request",
    "request_line",
    "values_of",
]
