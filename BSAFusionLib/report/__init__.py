"""The report of a case, as a table and as a page."""
