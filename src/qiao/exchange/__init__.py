"""The heart: a call is admitted, tried on engines until one answers, relayed, and settled once."""
