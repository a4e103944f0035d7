"""How gunicorn serves the gateway. Read by ``gunicorn wsgi:app``; its command line wins over what stands here."""

# Before everything else: what was imported unpatched would block the hub.
from gevent import monkey

monkey.patch_all()

from app.ops import server as gateway  # noqa: E402

environment, settings = gateway.read_settings()

bind = settings.gateway.address
worker_class = "app.ops.worker.GatewayWorker"
workers = environment.web_concurrency or 1
# Counts streams and WebSockets too. The gateway's own limit (gateway.maxRuns) is lower: health is still answered.
worker_connections = max(4000, settings.gateway.max_runs * 2)
backlog = 2048
# Longer than nginx keeps its idle connections to the gateway (60 s), so that it is nginx who closes them.
keepalive = 75
# Does not bound a gevent request: each run has its own deadline. It only notices a worker whose hub stands still.
timeout = 60
graceful_timeout = 30
# A restart after so many requests would cut long runs.
max_requests = 0
limit_request_line = 8190
# The default opens one socket for each user in the home folder.
control_socket_disable = True
logger_class = "app.ops.logs.GunicornLogger"
accesslog = None
forwarded_allow_ips = ""
proc_name = "openclaw-gateway"


def nworkers_changed(server, new_value, old_value):
    # SIGTTIN asks for one more worker while the gateway runs; the same rule holds as at the start.
    if old_value is not None and new_value > 1:
        server._num_workers = 1
        server.log.warning("a second worker needs cluster.redisUrl, which this version does not support")


def on_starting(server):
    gateway.on_starting(server, environment, settings)
