"""One module per asset: the work itself, called alike by Dagster and the command line."""
