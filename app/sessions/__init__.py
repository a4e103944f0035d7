"""Sessions: their keys, what they hold, and how their history meets a request."""
