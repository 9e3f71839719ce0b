"""The doors: parse, call the exchange, render; nothing else."""
