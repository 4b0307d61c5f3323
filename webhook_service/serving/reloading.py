"""SIGHUP: the settings are read anew and new workers serve with them, while the old ones finish their requests."""

import gc
import sys
from typing import Any

from webhook_service.settings import SettingsInvalid


def reload(arbiter: Any) -> None:
    """Replaces the workers by new ones with the settings as they are now.

    gunicorn's own reload would keep the application that was loaded before the first worker started, end the server
    when the configuration can't be read, and heed no other signal before the last old worker is gone. Here, settings
    that can't be served with are refused: the log says why, and everything stays as it is.
    """
    app = arbiter.app
    before = app.cfg, app.callable
    try:
        app.reload()
        _refuse_another_address(before[0], app.cfg)
        sys.modules.pop(app.app_uri.partition(":")[0], None)  # so that the application is made anew
        app.callable = app.load()
    except (Exception, SystemExit) as error:
        app.cfg, app.callable = before
        _log_refusal(arbiter.log, error)
        return
    arbiter.setup(app)
    gc.unfreeze()  # what was loaded before may be collected now
    arbiter.cfg.on_reload(arbiter)
    for _ in range(arbiter.num_workers):
        arbiter.spawn_worker()
    # The arbiter's loop ends surplus workers, the oldest first.


def refuse_to_count(arbiter: Any) -> None:
    """Refuses to start or end a single worker, as each has listeners of its own."""
    arbiter.log.warning("the number of workers is that of WEB_CONCURRENCY: change it, and send SIGHUP")


def _refuse_another_address(before: Any, after: Any) -> None:
    if before.address != after.address:
        raise SettingsInvalid(["BIND: another address needs a restart"])


def _log_refusal(log: Any, error: BaseException) -> None:
    cause = error.code if isinstance(error, SystemExit) else error
    if isinstance(cause, SettingsInvalid):
        fields = {"problems": cause.problems}
        log.error("the new settings are refused, and the old ones stay", extra={"fields": fields})
    else:
        log.error("the new settings can't be served with, and the old ones stay", exc_info=error)
