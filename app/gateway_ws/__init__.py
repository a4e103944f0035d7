"""The WebSocket control plane: requests, responses and events on the port of the HTTP API."""
