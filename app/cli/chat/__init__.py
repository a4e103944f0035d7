"""``python -m app chat``: a conversation in the terminal."""

from app.cli.chat.command import chat

__all__ = ["chat"]
