"""Who is told of trouble, once, and told again when it is over."""
