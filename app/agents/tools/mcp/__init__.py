"""MCP servers, whose tools agents can use: each behind a process of its own that nothing else depends on."""
