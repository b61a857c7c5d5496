"""The Python side of the customer data platform: landing, publishing, sending, running."""
