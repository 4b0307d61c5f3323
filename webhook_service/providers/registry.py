"""Every provider that is written in Python. A new one is a file beside this one and a line here."""

from webhook_service.providers.base import Provider
from webhook_service.providers.native import Native
from webhook_service.providers.standard import Standard
from webhook_service.providers.twilio import Twilio
from webhook_service.providers.whatsapp import WhatsApp

PROVIDERS: tuple[type[Provider], ...] = (Native, Standard, WhatsApp, Twilio)
