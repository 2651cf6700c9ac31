"""What becomes of a message: router, parser, conversation, outbox."""
