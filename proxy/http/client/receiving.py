"""Read what an upstream sends on a connection: the heads and the content of the response to an exchange."""

import math

from proxy.errors import UpstreamBroken
from proxy.http.client.exchange import CLOSED, CONTENT, HEAD, TUNNEL, WHOLE, Exchange
from proxy.http.client.link import Disconnected
from proxy.http.grammar import (
    END_OF_HEAD,
    MAX_HEAD,
    SWITCHING_PROTOCOLS,
    ChunkedDecoder,
    Delimiter,
    FramingError,
    Head,
    check_response_beginning,
    content_of,
    kept_for,
    parse_head,
)

_FIRST_FINAL_STATUS = 200
_CLOSE = Delimiter.CLOSE


def receive(exchange: Exchange, data: bytes) -> None:
    """Read what has come."""
    state = exchange.state
    try:
        if state is CONTENT or state is TUNNEL:
            _receive_content(exchange, data)
        elif state is HEAD:
            _receive_head(exchange, data)
        elif state is WHOLE:
            # Not asked for: it must not be taken for the response to the next request.
            exchange.link.abort()
    except FramingError as error:
        exchange.fail(UpstreamBroken(f"the upstream's answer is not to be trusted: {error}"))


def receive_end(exchange: Exchange, *, in_order: bool) -> None:
    """Note that no more will come; `in_order` where the upstream said so."""
    state = exchange.state
    if exchange.resting:
        exchange.ended_in_order = in_order
    elif state is HEAD:
        exchange.fail(Disconnected(answered=bool(exchange.buffer or exchange.interim_bytes)))
    elif state is CONTENT or state is TUNNEL:
        if exchange.delimiter is _CLOSE and in_order:
            exchange.finish()
        else:
            exchange.fail(UpstreamBroken("the upstream broke off its answer"))


def _receive_head(exchange: Exchange, data: bytes) -> None:
    buffer = exchange.buffer + data if exchange.buffer else data
    while buffer.find(END_OF_HEAD, 0, MAX_HEAD) >= 0:
        head, end = parse_head(buffer)
        buffer = buffer[end:]
        if head.status >= _FIRST_FINAL_STATUS or head.status == SWITCHING_PROTOCOLS:
            exchange.buffer = b""
            _begin(exchange, head, buffer)
            return
        exchange.interim_bytes += end
        if exchange.interim_bytes > MAX_HEAD:
            raise FramingError("it never gets beyond interim answers")
        exchange.inform(head)
    check_response_beginning(buffer)
    exchange.buffer = buffer


def _begin(exchange: Exchange, head: Head, rest: bytes) -> None:
    """Begin the response; `rest` came behind its head."""
    link = exchange.link
    if head.status == SWITCHING_PROTOCOLS:
        if not exchange.upgrade:
            raise FramingError("it switches protocols unasked")
        exchange.delimiter = _CLOSE
        exchange.reusable = False
        # A tunnel may be silent for as long as both ends like.
        link.deadline = math.inf
    else:
        exchange.upgrade = False
        exchange.delimiter, exchange.reusable, exchange.rests = content_of(exchange.method, head)
        keep_alive = head.proxy_fields.get(b"keep-alive")
        if keep_alive is not None:
            link.allowance = kept_for(keep_alive)
    exchange.head = head
    delimiter = exchange.delimiter
    if delimiter == len(rest):
        # All of it has come with its head: the usual thing, and content is not waited for yet.
        if rest:
            exchange.chunks.append(rest)
        exchange.state = WHOLE
        link.deadline = math.inf
    else:
        exchange.state = TUNNEL if exchange.upgrade else CONTENT
        _begin_content(exchange, delimiter, rest)
    if exchange.state is not CLOSED and not exchange.answered.done():
        exchange.answered.set_result(None)


def _begin_content(exchange: Exchange, delimiter: int | Delimiter, rest: bytes) -> None:
    if delimiter is Delimiter.CHUNKED:
        exchange.decoder = ChunkedDecoder()
    elif isinstance(delimiter, int):
        exchange.left = delimiter
    if rest:
        _receive_content(exchange, rest)
    exchange.await_content()


def _receive_content(exchange: Exchange, data: bytes) -> None:
    if exchange.decoder is not None:
        _receive_chunks(exchange, exchange.decoder, data)
    elif exchange.delimiter is _CLOSE:
        exchange.push(data)
    else:
        left = exchange.left = exchange.left - len(data)
        if left < 0:
            exchange.reusable = False
            data = data[:left]
        exchange.push(data)
        if left <= 0:
            exchange.finish()


def _receive_chunks(exchange: Exchange, decoder: ChunkedDecoder, data: bytes) -> None:
    if exchange.resting:
        exchange.held += data
        return
    for piece in decoder.feed(data, all_of_it=False):
        exchange.push(piece)
    if decoder.done:
        exchange.trailers = decoder.trailers
        exchange.reusable = exchange.reusable and not decoder.rest
        exchange.finish()
    elif decoder.costly:
        # Others have a turn before more is read: an event loop reads on as long as something comes.
        exchange.resting = True
        exchange.pause()
        exchange.link.loop.call_soon(_go_on, exchange)


def _go_on(exchange: Exchange) -> None:
    """Read on after others had a turn."""
    exchange.resting = False
    if exchange.state is not CONTENT:
        return
    held, exchange.held = exchange.held, b""
    receive(exchange, held)
    if exchange.resting or (exchange.state is not CONTENT and exchange.state is not WHOLE):
        return
    exchange.resume()
    in_order, exchange.ended_in_order = exchange.ended_in_order, None
    if in_order is not None:
        receive_end(exchange, in_order=in_order)
