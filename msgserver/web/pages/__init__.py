"""The pages that people see: one file a page, its acts named as what they do."""
