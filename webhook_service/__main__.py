"""The console script, as ``python -m webhook_service``."""

from webhook_service.cli import main

main(prog_name="webhook-service")
