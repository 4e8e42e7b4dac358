"""What `make bench` measures: the pipeline's speed and memory, side by side with a reference in the same run."""
