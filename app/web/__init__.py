"""The public web as the gateway may read it: addresses that are public, and what stands there, bounded."""
