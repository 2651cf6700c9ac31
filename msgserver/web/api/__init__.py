"""The API for programs: one file a noun, the same store functions and the same rights as the pages."""
