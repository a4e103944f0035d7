"""gunicorn for the bare route, set as the gateway's own gunicorn.conf.py sets it."""

from gevent import monkey

monkey.patch_all()

from typing import Any  # noqa: E402

import gevent  # noqa: E402

worker_class = "gevent"
workers = 1
worker_connections = 4000
backlog = 2048
keepalive = 75
timeout = 60
control_socket_disable = True


def post_request(worker: Any, req: Any, environ: Any, resp: Any) -> None:
    # Otherwise a busy keep-alive connection owns the hub.
    gevent.sleep(0)
