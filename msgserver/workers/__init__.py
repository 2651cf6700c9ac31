"""The processes that read what strangers wrote, and their pool."""
