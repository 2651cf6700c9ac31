"""What protocols share on the Twisted side: TLS, back-off, byte budgets."""
