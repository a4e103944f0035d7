"""The built-in local model: SmolLM2-135M-Instruct in a process of its own, shared by all processes of one gateway."""

from app.providers.local.process import Endpoint, LocalModel

__all__ = ["Endpoint", "LocalModel"]
