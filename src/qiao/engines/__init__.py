"""What answers a call: the cloud, an OpenAI-compatible server, weights on this machine, or a script."""
