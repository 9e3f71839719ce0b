"""One protocol to the hub (the OpenAI chat document) and back: the only place with typed messages."""
