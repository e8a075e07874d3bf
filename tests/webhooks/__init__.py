"""Webhook intake: signatures, the service, the mapping, the poll."""
