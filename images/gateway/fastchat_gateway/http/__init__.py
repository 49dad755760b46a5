"""HTTP's own words, read and written: heads of requests and responses, chunks."""
