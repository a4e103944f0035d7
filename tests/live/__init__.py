"""What crosses a socket, against real gunicorn and a scripted provider."""
