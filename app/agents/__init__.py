"""Agents: who they are, and the runs in which they answer turns."""
