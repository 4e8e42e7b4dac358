"""The places that are asked, one module each; dns_client.py carries the questions of those that answer by DNS."""
