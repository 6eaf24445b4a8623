"""Telling callers that a job has ended: endpoints, the outbox of deliveries, signatures (Standard Webhooks)."""
