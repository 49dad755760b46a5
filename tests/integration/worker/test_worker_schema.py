"""The worker keeps what its OpenAPI document says, whatever is thrown at it."""
