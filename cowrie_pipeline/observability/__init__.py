"""What the pipeline shows of its work while it does it."""
