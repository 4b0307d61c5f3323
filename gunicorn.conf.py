"""gunicorn, from the same settings as the application: https://gunicorn.org/reference/settings/"""

from webhook_service.serving.metrics_directory import SHARED_MEMORY
from webhook_service.serving.server import QuietLogger, Server
from webhook_service.web.logs import logging_config

server = Server.from_env()

bind = server.settings.bind
workers = server.settings.workers
worker_class = "webhook_service.serving.worker.InboxWorker"
threads = server.settings.threads
worker_connections = server.worker_connections
preload_app = True
keepalive = 75  # seconds: longer than nginx keeps an idle upstream connection (60), so that nginx closes first
timeout = 30  # seconds
graceful_timeout = 30  # seconds
max_requests = 0
forwarded_allow_ips = ""  # the application decides whom it believes: TRUSTED_PROXIES
worker_tmp_dir = SHARED_MEMORY
control_socket_disable = True  # its default path is one for all servers of a user
logger_class = QuietLogger
logconfig_dict = logging_config(server.settings.log_level)

on_starting = server.on_starting
when_ready = server.when_ready
on_reload = server.on_reload
pre_fork = server.pre_fork
post_fork = server.post_fork
post_worker_init = server.post_worker_init
