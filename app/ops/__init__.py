"""What operators see: health, logs, and how the gateway starts and ends under gunicorn."""
