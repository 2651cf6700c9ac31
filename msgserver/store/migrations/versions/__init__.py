"""One module a revision, oldest first; edited in place until the first release."""
