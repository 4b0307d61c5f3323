"""Sources as JSON."""

from typing import Any

from webhook_service.domain.activity import DeliveryOutcome
from webhook_service.domain.sources import SecretState, SourceState, address


def present_source(state: SourceState) -> dict[str, Any]:
    """Converts a source to its JSON object, for ``encode_json``."""
    return {
        "name": state.name,
        "provider": state.provider,
        "address": address(state.name),
        "last_delivery_at": state.last_delivery_at,
        "last_day": {outcome.value: state.last_day.get(outcome, 0) for outcome in DeliveryOutcome},
        "secrets": [_present_secret(secret) for secret in state.secrets],
        "setup": {
            "place": state.setup.place,
            "address_field": state.setup.address_field,
            "fields": dict(state.setup.fields),
        },
    }


def _present_secret(secret: SecretState) -> dict[str, Any]:
    return {
        "label": secret.label,
        "until": secret.until,
        "last_matched_at": secret.last_matched_at,
        "may_go": secret.may_go,
    }
