"""The wire: messages, schemas, topics. These tests import events and config alone."""
