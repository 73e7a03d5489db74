"""What is counted, for Prometheus; no label ever holds a customer's words."""

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter("squero_http_requests_total", "Answered requests", ["route", "status"])
SECONDS = Histogram("squero_http_request_seconds", "Time to the first byte", ["route"])
JOBS = Gauge("squero_jobs", "Jobs that wait or render", ["lane", "state"])
LOST = Counter("squero_lost_attempts_total", "Attempts whose worker fell silent")
BOOKS = Gauge("squero_ledger_in_order", "1 when the last audit found the books in order")
