"""The dashboard, the rules and the page that describes them, against what is exported and against a real Prometheus."""
