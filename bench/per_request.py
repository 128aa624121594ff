"""What metrics, request ids and log lines cost a request, in microseconds: python -m bench.per_request

Does to an entry what the forwarder does, and lets the request log's readers read it. The least of many short rounds counts,
so that a busy machine does little harm.
"""

import asyncio
from collections.abc import Iterator
from time import perf_counter

from proxy.forward import request_ids
from proxy.model import RequestRecord
from proxy.observe.logs import AccessLog
from proxy.observe.metrics import RequestMetrics
from proxy.observe.request_log import RequestLog

REQUESTS = 200
ROUNDS = 1500


def note(request_log: RequestLog, ids: Iterator[tuple[str, bytes]], passed_fields: bytes) -> None:
    """The noting of `REQUESTS` requests."""
    for _ in range(REQUESTS):
        entry = RequestRecord("GET", perf_counter())
        entry.path = "/v1/job/c498f902-63f1-5176-8e6f-454c958ebf91"
        entry.request_id, line = next(ids)
        entry.route = "/"
        entry.graphql = False
        entry.profile = "default"
        passed_fields + line
        entry.asked = perf_counter()
        entry.answered = perf_counter()
        entry.source = "upstream"
        entry.ended = perf_counter()
        entry.status, entry.received, entry.sent = 200, 0, 400
        request_log(entry)


async def measure(name: str, *readers: AccessLog) -> None:
    noting = reading = float("inf")
    for _ in range(ROUNDS):
        request_log, ids = RequestLog(RequestMetrics(), *readers), request_ids.made("0123456789ab")
        began = perf_counter()
        note(request_log, ids, b"Host: api.unleashlive.com\r\n")
        noted = perf_counter()
        request_log.flush()
        noting, reading = min(noting, noted - began), min(reading, perf_counter() - noted)
    noting, reading = (seconds / REQUESTS * 1e6 for seconds in (noting, reading))
    print(f"{name:<24} noting {noting:.2f} us, reading {reading:.2f} us, together {noting + reading:.2f} us")


async def main() -> None:
    await measure("metrics alone")
    for log_format in ("json", "text"):
        await measure(f"metrics and {log_format} lines", AccessLog(lambda _: None, log_format))


if __name__ == "__main__":
    asyncio.run(main())
