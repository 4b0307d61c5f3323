"""Makes the site for a Debian nginx in front of the service, from the template that the containers use."""

import textwrap
from dataclasses import dataclass

from webhook_service.settings import Settings
from webhook_service.shipped import shipped

TEMPLATE = "deploy/nginx/nginx.conf.template"
LOGS = "/var/log/nginx"  # the folder that Debian's logrotate handles


class NoAddress(Exception):
    """BIND does not say where nginx reaches the service."""


@dataclass(frozen=True, slots=True)
class Site:
    """The name by which the service is reached, and the paths of the certificate and key for that name."""

    server_name: str
    certificate: str
    key: str


def render_site(settings: Settings, site: Site) -> str:
    """Renders a file for /etc/nginx/conf.d: TLS in front, and the service at the address in BIND behind.

    Raises NoAddress.
    """
    template = shipped(TEMPLATE).read_text(encoding="utf-8")
    inside_http = template.partition("\nhttp {\n")[2].rstrip().removesuffix("}")
    lines = [line for line in textwrap.dedent(inside_http).splitlines() if not _is_of_the_container(line)]
    text = "\n".join(lines).strip() + "\n"
    for of_the_container, of_the_site in {
        "    listen 8080;\n": _listen(site),
        "server app:8000;": f"server {_upstream(settings.bind)};",
        "upstream app {": "upstream webhook_service {",
        "http://app;": "http://webhook_service;",
        "log_format json ": "log_format webhook_service ",
        "access_log /dev/stdout json if=$not_answered_by_app;\n": "",
        "${MAX_BODY_BYTES}": str(settings.max_body_bytes),
        "${TRUSTED_PROXIES}": str(settings.trusted_proxies),
    }.items():
        if of_the_container not in text:
            raise ValueError(f"{TEMPLATE} has no {of_the_container!r}")
        text = text.replace(of_the_container, of_the_site)
    return f"# Made by `webhook-service config nginx`.\n\n{text}"


def _is_of_the_container(line: str) -> bool:
    """Tells whether a line is in Debian's own nginx.conf already, or is about a file system that is read-only."""
    return "_temp_path " in line or line.startswith(("server_tokens", "default_type", "# The one place"))


def _listen(site: Site) -> str:
    return textwrap.indent(
        f"""listen 443 ssl;
listen [::]:443 ssl;
server_name {site.server_name};
ssl_certificate {site.certificate};
ssl_certificate_key {site.key};
server_tokens off;
default_type application/json;
# Below this, lines quote the request with its query string, which may hold a phone number.
error_log {LOGS}/webhook-service.error.log crit;
access_log {LOGS}/webhook-service.access.log webhook_service if=$not_answered_by_app;
""",
        "    ",
    )


def _upstream(bind: str) -> str:
    """Returns the address in BIND as nginx reaches it; NoAddress for a socket that the service is given open."""
    if bind.startswith("fd:"):
        raise NoAddress(f"BIND is {bind}, which is no address: for this command, set BIND to the socket's own")
    host, _, port = bind.rpartition(":")
    return f"127.0.0.1:{port}" if host in {"", "0.0.0.0"} else bind  # noqa: S104  # compared, not bound
