"""A report API that costs next to nothing: every page is made before the first request.

Each studio and window has the same number of rows; a page's bytes are the same for all of them. Asked for `count`
alone, it tells the sum over the calendar months of the request. Speaks just enough HTTP/1.1 for keep-alive clients.

Prints its port and serves until its input ends. Each line of input is answered with one line of JSON: how many
requests came, how many of them for sums, how many different ones, and the most connections that were open at once; the
line `arrivals` with when each request came, in seconds of this machine's monotonic clock.

With --rate, what is above it in any sixty seconds is answered 429, whoever asks.
"""

import argparse
import asyncio
import csv
import io
import json
import sys
import time
from collections import deque
from urllib.parse import parse_qs

STATUSES = ("open", "voided", "expired", "in_penalty_sequence", "upcoming_charge", "charged", "charge_skipped")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def values(row):
    """A made-up row; rows are sorted by customer.id."""
    return {
        "customer.id": 1_000_000 + row,
        "customer.name": f"Customer Number {row}",
        "customer.email": f"customer{row}@studio.example.test",
        "status": STATUSES[row % 7],
        "attendance.status": ("late_cancel", "no_show")[row % 2],
        "rule.applies_to": "late_cancels_or_no_shows",
        "event.offering_type.id": 500 + row % 12,
        "event.offering_type.name": f"Offering Type {row % 12}",
        "event.venue.id": 70 + row % 4,
        "event.venue.name": f"Venue {row % 4}",
        "customer_membership.membership.id": 9000 + row % 30,
        "customer_membership.membership.name": f"Membership Plan {row % 30}",
        "day_of_week": DAYS[row % 7],
        "event.start_time": f"{6 + row % 15:02d}:00:00",
        "count": 1 + row % 5,
    }


KEYS = tuple(values(0))


def nested(row):
    tree = {}
    for key, value in values(row).items():
        *parents, leaf = key.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return tree


def bodies(rows, limit=100):
    """Both formats of every page."""
    headers = [{"label": key.replace(".", " ").title(), "key": key, "sortable": True} for key in KEYS]
    pages = {}
    for offset in range(0, max(rows, 1), limit):
        numbers = range(offset, min(rows, offset + limit))
        document = {"total": rows, "column_headers": headers, "rows": [nested(n) for n in numbers]}
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(KEYS)
        writer.writerows(values(n).values() for n in numbers)
        pages[offset, "json"] = answer("application/json", json.dumps(document).encode())
        pages[offset, "csv"] = answer("text/csv; charset=utf-8", text.getvalue().encode())
    return pages


def answer(kind, body):
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def grand_total(query, rows):
    """The sum over as many whole months as the request touches."""
    (since,), (until,) = query["event_starts_at_gte"], query["event_starts_at_lte"]
    months = (int(until[:4]) - int(since[:4])) * 12 + int(until[5:7]) - int(since[5:7]) + 1
    total = months * sum(values(row)["count"] for row in range(rows))
    header = {"label": "Count", "key": "count", "sortable": True}
    document = {"total": 1, "column_headers": [header], "rows": [{"count": total}]}
    return answer("application/json", json.dumps(document).encode())


class Seen:
    """What came so far."""

    def __init__(self):
        self.requests = self.sums = self.connections = self.most_connections = 0
        self.different = set()
        self.arrivals = []
        self.let_through = deque()

    def to_json(self):
        counts = {name: getattr(self, name) for name in ("requests", "sums", "most_connections")}
        return json.dumps({**counts, "different": len(self.different)})

    def refuses(self, rate):
        """Whether the request that came last is one too many."""
        now = self.arrivals[-1]
        while self.let_through and self.let_through[0] <= now - 60:
            self.let_through.popleft()
        if len(self.let_through) >= rate:
            return True
        self.let_through.append(now)
        return False

    def answer(self, line):
        if line.strip() != "arrivals":
            return self.to_json()
        return json.dumps(self.arrivals)


#: What is said to one request too many.
REFUSAL = b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Connection(asyncio.Protocol):
    def __init__(self, pages, options, seen):
        self.pages, self.rows, self.latency_s, self.seen = pages, options.rows, options.latency_ms / 1000, seen
        self.rate = options.rate
        self.buffer = b""

    def connection_made(self, transport):
        self.transport = transport
        self.seen.connections += 1
        self.seen.most_connections = max(self.seen.most_connections, self.seen.connections)

    def connection_lost(self, _exc):
        self.seen.connections -= 1

    def data_received(self, data):
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            request, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            self.seen.requests += 1
            self.seen.arrivals.append(time.monotonic())
            self.seen.different.add(hash(request))
            query = parse_qs(request.split(b" ", 2)[1].partition(b"?")[2].decode())
            if self.rate and self.seen.refuses(self.rate):
                page = REFUSAL
            elif query.get("columns") == ["count"]:
                self.seen.sums += 1
                page = grand_total(query, self.rows)
            else:
                page = self.pages[int(query["offset"][0]), query["format"][0]]
            if self.latency_s:
                asyncio.get_running_loop().call_later(self.latency_s, self.transport.write, page)
            else:
                self.transport.write(page)


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4170, help="rows of each studio and window")
    parser.add_argument("--latency-ms", type=float, default=0)
    parser.add_argument("--rate", type=int, default=0, help="requests a minute at most; 0 for no limit")
    options = parser.parse_args()
    pages = bodies(options.rows)
    loop = asyncio.get_running_loop()
    seen = Seen()
    server = await loop.create_server(lambda: Connection(pages, options, seen), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(seen.answer(line), flush=True)


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
