"""Sources as JSON."""

from typing import Any

from webhook_service.domain.activity import DeliveryOutcome
from webhook_service.domain.sources import SecretReport, SourceReport, path_of


def present_source(report: SourceReport) -> dict[str, Any]:
    """Converts a source to its JSON object, for ``encode_json``."""
    return {
        "name": report.name,
        "provider": report.provider,
        "address": path_of(report.name),
        "last_delivery_at": report.last_delivery_at,
        "last_day": {outcome.value: report.last_day.get(outcome, 0) for outcome in DeliveryOutcome},
        "secrets": [_present_secret(secret) for secret in report.secrets],
        "setup": {
            "place": report.setup.place,
            "address_field": report.setup.address_field,
            "fields": dict(report.setup.fields),
        },
    }


def _present_secret(secret: SecretReport) -> dict[str, Any]:
    return {
        "label": secret.label,
        "until": secret.until,
        "last_matched_at": secret.last_matched_at,
        "may_go": secret.may_go,
    }
