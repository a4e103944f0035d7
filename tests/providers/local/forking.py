"""A gateway in small, as gunicorn runs it: patched, a master that prepares the model, and two workers that use it.

Prints a line ``{pid, port}`` from each worker when the model is ready for it. Ends by being killed.
"""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import os  # noqa: E402
import time  # noqa: E402

from app.providers.local import LocalModel  # noqa: E402

model = LocalModel()
model.prepare()
for _ in range(2):
    if os.fork() == 0:
        line = json.dumps({"pid": os.getpid(), "url": model.ensure(20).base_url}) + "\n"
        os.write(1, line.encode())  # undivided, where both print at once
        break
time.sleep(60)
