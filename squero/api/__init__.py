"""HTTP in, HTTP out: one file per tag of the API."""
