"""What happens to a request between its client and a worker."""
