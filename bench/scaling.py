"""What a run costs in requests, minutes, memory and dollars: arithmetic alone; prints the table of docs/scaling.md.

The assumptions are the constants below; the formulae are the functions, and are explained on that page.
"""

import math
from dataclasses import dataclass

#: Rows of a page, requests a minute and credential. Source: API reference, "Pagination", and rate-limits guide.
PAGE, RATE = 100, 250

#: Connections, and seconds of a response.
CONNECTIONS, LATENCY_S = 32, 0.1

#: CPU seconds for a million rows as JSON in windows of 278 rows; larger windows take less. Source: docs/reliability.md.
CPU_S = 9.9

#: Memory of a run besides its largest part, in MB, and what a task adds; bytes of a row in Arrow; how many times its
#: size a part takes while it is merged. Source: docs/load.md.
BASE_MB, TASK_MB, ROW_BYTES, COPIES = 170, 0.0004, 230, 1.5

#: Pages in a staged segment, at the least.
PAGES_A_SEGMENT = 4

#: Dollars in us-east-1. Source: AWS price lists of Lambda (x86, a GB-second), Fargate (a vCPU-hour, a GB-hour), S3 (PUT
#: and GET).
LAMBDA_GB_S, FARGATE_VCPU_H, FARGATE_GB_H, PUT, GET = 0.0000166667, 0.04048, 0.004445, 0.000005, 0.0000004

#: vCPUs, and the most GB that they may have. Source: Fargate, "Task CPU and memory".
FARGATE_SIZES = ((1, 8), (2, 16), (4, 30), (8, 60), (16, 120))

#: Memory that brings a whole core, the most there is, both in MB; the longest run in minutes. Source: Lambda quotas.
LAMBDA_CORE_MB, LAMBDA_MOST_MB, LAMBDA_MOST_MIN = 1769, 10_240, 15


@dataclass(frozen=True)
class Job:
    """So many studios, the windows to fetch of each, rows in each window, and credentials shared evenly."""

    studios: int
    windows: int
    rows: int
    credentials: int
    rate: int = RATE

    @property
    def requests(self):
        """Of its tasks."""
        return self.studios * self.windows * max(1, math.ceil(self.rows / PAGE))

    @property
    def rate_min(self):
        """Minutes that the rate limit makes of it: full ones, since a minute's requests may go at once."""
        each = math.ceil(self.studios / self.credentials) * (self.requests // self.studios)
        return max(0, math.ceil(each / self.rate) - 1)

    @property
    def latency_min(self):
        return self.requests * LATENCY_S / CONNECTIONS / 60

    @property
    def cpu_min(self):
        return self.studios * self.windows * self.rows / 1e6 * CPU_S / 60

    @property
    def minutes(self):
        return max(self.rate_min, self.latency_min, self.cpu_min)

    @property
    def memory_mb(self):
        tasks = self.studios * self.windows
        return BASE_MB + TASK_MB * tasks + COPIES * self.studios * self.rows * ROW_BYTES / 1e6

    @property
    def s3_dollars(self):
        """Each segment is put, and read again; each part is read and put."""
        return (self.requests / PAGES_A_SEGMENT + self.windows) * (PUT + GET)

    @property
    def lambda_dollars(self):
        """None where it does not fit into one function, whatever its time."""
        if self.memory_mb > LAMBDA_MOST_MB:
            return None
        return self.minutes * 60 * max(LAMBDA_CORE_MB, self.memory_mb) / 1024 * LAMBDA_GB_S

    @property
    def container_dollars(self):
        gb = max(2, self.memory_mb / 1024)
        cores = next(cores for cores, most_gb in FARGATE_SIZES if gb <= most_gb)
        return self.minutes / 60 * (cores * FARGATE_VCPU_H + gb * FARGATE_GB_H)


def jobs():
    for studios in (10, 1_000, 100_000):
        for name, windows in (("every night", 3), ("36 months", 36)):
            for credentials in (1, studios):
                yield name, Job(studios, windows, rows=278, credentials=credentials)


def lambda_cell(job):
    if job.lambda_dollars is None:
        return "too large"
    runs = max(1, math.ceil(job.minutes / LAMBDA_MOST_MIN))
    return dollars(job.lambda_dollars) + ("" if runs == 1 else f" in {runs:,} runs")


def dollars(amount):
    return "under $0.01" if amount < 0.01 else f"${amount:,.2f}"


def minutes(number):
    return f"{number:,.1f}" if number < 10 else f"{number:,.0f}"


def table():
    yield ("| studios | what | credentials | requests | rate, min | latency, min | CPU, min | memory, MB "
           "| Lambda | container | S3 requests |")  # fmt: skip
    yield "| --- " * 11 + "|"
    for name, job in jobs():
        times = " | ".join(minutes(number) for number in (job.rate_min, job.latency_min, job.cpu_min))
        yield (
            f"| {job.studios:,} | {name} | {job.credentials:,} | {job.requests:,} | {times} | {job.memory_mb:,.0f} "
            f"| {lambda_cell(job)} | {dollars(job.container_dollars)} | {dollars(job.s3_dollars)} |"
        )


if __name__ == "__main__":
    print("\n".join(table()))
