"""What runs in containers: files that an engine reads, checked without one."""
